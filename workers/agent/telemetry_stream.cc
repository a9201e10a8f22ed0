#include "workers/agent/telemetry_stream.h"

#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/log.h"
#include "workers/agent/convert.h"

namespace trainyard::agent {
namespace {

constexpr size_t kMaxRecords = 1000;  // of worker_service.proto
constexpr size_t kMaxBytes = 512 * 1024;
constexpr absl::Duration kWait = absl::Seconds(10);

}  // namespace

TelemetryStream::TelemetryStream(std::string worker,
                                 std::shared_ptr<grpc::Channel> channel,
                                 Spool* spool, BackoffOptions backoff,
                                 uint32_t seed)
    : worker_(std::move(worker)),
      stub_(v1::WorkerService::NewStub(std::move(channel))),
      spool_(spool),
      backoff_(backoff),
      seed_(seed),
      thread_([this] { Run(); }) {}

TelemetryStream::~TelemetryStream() { Stop(); }

void TelemetryStream::Stop() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  spool_->Wake();
  thread_.join();
}

void TelemetryStream::OnServerBack() {
  absl::MutexLock lock(&mutex_);
  server_is_back_ = true;
}

bool TelemetryStream::Over() {
  absl::MutexLock lock(&mutex_);
  return stopping_ || broken_;
}

void TelemetryStream::Run() {
  Backoff backoff(backoff_, seed_);
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      broken_ = false;
    }
    if (!spool_->WaitForRecords(kWait)) continue;
    if (Converse()) backoff.Reset();
    absl::MutexLock lock(&mutex_);
    const auto over = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || server_is_back_;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&over), backoff.Next());
    if (std::exchange(server_is_back_, false)) backoff.Reset();
  }
}

bool TelemetryStream::Converse() {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return false;
    context_ = &context;
  }
  const std::unique_ptr<Stream> stream = stub_->ReportTelemetry(&context);
  bool acknowledged = false;
  std::thread reader([&] {
    v1::ReportTelemetryResponse response;
    while (stream->Read(&response)) {
      acknowledged = true;
      for (const v1::TelemetryAck& ack : response.acks()) {
        spool_->Acknowledge(FromProto(ack.key()), ack.sequence());
      }
    }
    {
      absl::MutexLock lock(&mutex_);
      broken_ = true;
    }
    spool_->Wake();
  });
  while (!Over()) {
    if (!spool_->WaitForRecords(kWait)) continue;
    v1::ReportTelemetryRequest request;
    request.set_worker(worker_);
    for (v1::TelemetryRecord& record : spool_->Take(kMaxRecords, kMaxBytes)) {
      *request.add_records() = std::move(record);
    }
    if (request.records_size() > 0 && !stream->Write(request)) break;
  }
  reader.join();  // the call is over, or Stop has cancelled it
  {
    absl::MutexLock lock(&mutex_);
    context_ = nullptr;
  }
  const grpc::Status status = stream->Finish();
  spool_->Rewind();  // what was under way is to be sent again
  spdlog::debug("telemetry stream ended: {}", status.error_message());
  return acknowledged;
}

}  // namespace trainyard::agent
