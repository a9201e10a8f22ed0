#include "server/rpc/telemetry_stream.h"

#include <memory>
#include <utility>

#include "base/status_macros.h"
#include "server/core/lifecycle.h"
#include "server/rpc/convert_telemetry.h"
#include "server/rpc/names.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

// Entries in one message, and their bytes.
constexpr size_t kPage = 1000;
constexpr size_t kPageBytes = 1 << 20;

// How the two streams differ.
struct Logs {
  using Request = v1::StreamLogsRequest;
  using Response = v1::StreamLogsResponse;
  static constexpr absl::string_view kMethod = "JobService/StreamLogs";
  static constexpr telemetry::Kind kKind = telemetry::Kind::kLine;
  static absl::Status Add(const telemetry::StoredEntry& entry,
                          Response* response) {
    ASSIGN_OR_RETURN(*response->add_lines(), ToLogLine(entry));
    return absl::OkStatus();
  }
};

struct Metrics {
  using Request = v1::StreamMetricsRequest;
  using Response = v1::StreamMetricsResponse;
  static constexpr absl::string_view kMethod = "JobService/StreamMetrics";
  static constexpr telemetry::Kind kKind = telemetry::Kind::kPoint;
  static absl::Status Add(const telemetry::StoredEntry& entry,
                          Response* response) {
    ASSIGN_OR_RETURN(*response->add_points(), ToMetricPoint(entry));
    return absl::OkStatus();
  }
};

template <typename Which>
class TelemetryStream final : public StreamCall<typename Which::Response> {
 public:
  using Response = typename Which::Response;
  using Base = StreamCall<Response>;
  using typename Base::Next;

  TelemetryStream(const Ports& ports, const typename Which::Request& request)
      : Base(ports, Which::kMethod), request_(request) {}

 private:
  Next Produce(Response* response) override {
    if (absl::Status status = begun_ ? absl::OkStatus() : Begin();
        !status.ok()) {
      return this->End(status);
    }
    auto next = Read(response);
    return next.ok() ? *next : this->End(next.status());
  }

  void OnEnd() override {
    if (watch_ != 0) this->ports().feed->Unwatch(watch_);
    if (subscription_ != 0) this->ports().hub->Unsubscribe(subscription_);
  }

  absl::Status Begin() {
    RETURN_IF_ERROR(ValidateTail(request_.tail(), request_.cursor()));
    ASSIGN_OR_RETURN(job_, ParseJobName("job", request_.job()));
    ASSIGN_OR_RETURN(read_.after, ParseCursor(request_.cursor()));
    RETURN_IF_ERROR(this->ports().jobs->GetJob(job_).status());
    read_.job = job_.value();
    read_.kind = Which::kKind;
    read_.attempt = request_.attempt();
    read_.limit = kPage;
    read_.max_bytes = kPageBytes;
    if (request_.follow()) {
      subscription_ =
          this->ports().hub->Subscribe(job_.value(), [this] { this->Wake(); });
      watch_ = this->ports().feed->Watch({job_}, [this] { this->Wake(); });
    }
    if (request_.tail() > 0) {
      ASSIGN_OR_RETURN(read_.after, this->ports().points->Tail(
                                        read_.job, read_.kind, read_.attempt,
                                        request_.tail()));
    }
    begun_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<Next> Read(Response* response) {
    // Before the entries are read: what came until then is among them.
    const absl::Time now = this->ports().clock->Now();
    ASSIGN_OR_RETURN(const telemetry::Page page,
                     this->ports().points->Read(read_));
    for (const telemetry::StoredEntry& entry : page.entries) {
      RETURN_IF_ERROR(Which::Add(entry, response));
    }
    read_.after = page.next;
    response->set_cursor(Cursor(page.next));
    response->set_gap(page.gap);
    // Even without an entry the caller learns the cursor.
    if (!page.entries.empty() || page.gap || !std::exchange(sent_, true)) {
      return Next::kSend;
    }
    if (!request_.follow()) return this->End(absl::OkStatus());
    return AfterAll(now);
  }

  // All that is stored was sent: ends once the job is final and late entries
  // had their time.
  absl::StatusOr<Next> AfterAll(absl::Time now) {
    if (enough_at_ == absl::InfiniteFuture()) {
      ASSIGN_OR_RETURN(const engine::StoredJob job,
                       this->ports().jobs->GetJob(job_));
      if (!core::IsFinal(job.state)) return Next::kIdle;
      enough_at_ =
          job.end_time.value_or(now) + this->ports().options.telemetry_grace;
    }
    if (now >= enough_at_) return this->End(absl::OkStatus());
    this->WakeAt(enough_at_);
    return Next::kIdle;
  }

  const typename Which::Request request_;
  bool begun_ = false;
  bool sent_ = false;
  core::JobId job_;
  telemetry::ReadRequest read_;
  absl::Time enough_at_ = absl::InfiniteFuture();
  uint64_t watch_ = 0;
  uint64_t subscription_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<v1::StreamLogsResponse>* StartLogs(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::StreamLogsRequest& request) {
  using Stream = TelemetryStream<Logs>;
  return Stream::Start(std::make_shared<Stream>(ports, request), context);
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StartMetrics(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::StreamMetricsRequest& request) {
  using Stream = TelemetryStream<Metrics>;
  return Stream::Start(std::make_shared<Stream>(ports, request), context);
}

}  // namespace trainyard::rpc
