#include "server/rpc/telemetry_report.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_telemetry.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/finish_gate.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/names.h"

namespace trainyard::rpc {
namespace {

constexpr absl::string_view kMethod = "WorkerService/ReportTelemetry";
// Attempts whose owner is remembered; more: all are looked up anew.
constexpr size_t kMaxKnown = 4096;

using Reactor = grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                                        v1::ReportTelemetryResponse>;

// The steps of a message follow one another, so but for the gate nothing needs
// a lock: OnReadDone → Check → OnStored → OnWriteDone → the next.
class TelemetryReport final
    : public Reactor,
      public Pulse::Listener,
      public std::enable_shared_from_this<TelemetryReport> {
 public:
  explicit TelemetryReport(const Ports& ports) : ports_(ports) {}

  void Start(grpc::CallbackServerContext* context) {
    self_ = shared_from_this();
    ports_.metrics->OnStreamOpened(kMethod);
    absl::StatusOr<auth::Caller> caller =
        ports_.guard->Admit(*context, kMethod);
    if (!caller.ok()) return End(caller.status());
    caller_ = *std::move(caller);
    ports_.pulse->Add(self_);
    StartRead(&request_);
  }

 private:
  using JobName = std::shared_ptr<const std::string>;

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());  // half-closed, or broken
    if (!gate_.Enter()) return;
    const bool taken =
        ports_.executor->Post([self = shared_from_this()] { self->Check(); });
    if (!taken) {
      End(absl::ResourceExhaustedError(
          "too many streams wait for the disk: try again later"));
      Leave();
    }
  }

  // On an executor's thread.
  void Check() {
    absl::StatusOr<std::vector<telemetry::Entry>> entries = TakeWanted();
    if (!entries.ok()) {
      End(entries.status());
      return Leave();
    }
    ports_.hub->Ingest(*std::move(entries),
                       [self = shared_from_this()](const absl::Status& status) {
                         self->OnStored(status);
                       });
  }

  // The entries of attempts that this worker was given; all are acknowledged,
  // those of others as no longer wanted.
  absl::StatusOr<std::vector<telemetry::Entry>> TakeWanted() {
    if (!IsWorkerName(request_.worker())) {
      return absl::InvalidArgumentError(
          absl::StrCat("worker: ", Quoted(request_.worker()),
                       ": must be 1 to 63 lower-case letters, digits or '-'"));
    }
    RETURN_IF_ERROR(CheckIsWorker(caller_, request_.worker()));
    ASSIGN_OR_RETURN(std::vector<telemetry::Entry> entries,
                     FromProto(request_));
    std::map<core::AttemptKey, uint64_t> acks;
    std::vector<telemetry::Entry> wanted;
    for (telemetry::Entry& entry : entries) {
      const core::AttemptKey key{core::JobId(entry.attempt.job),
                                 entry.attempt.attempt};
      uint64_t& ack = acks[key];
      ack = std::max(ack, entry.sequence);
      ASSIGN_OR_RETURN(const JobName name, OwnedName(key));
      if (name == nullptr) continue;
      if (entry.reading != nullptr) entry.reading->job_name = name;
      wanted.push_back(std::move(entry));
    }
    response_.Clear();
    for (const auto& [key, sequence] : acks) {
      v1::TelemetryAck* ack = response_.add_acks();
      *ack->mutable_key() = ToProto(key);
      ack->set_sequence(sequence);
    }
    CountKinds(wanted);
    return wanted;
  }

  // The name of the job, if the attempt was placed on this worker; else
  // nullptr.
  absl::StatusOr<JobName> OwnedName(core::AttemptKey key) {
    if (known_worker_ != request_.worker() || known_.size() >= kMaxKnown) {
      known_.clear();
      known_worker_ = request_.worker();
    }
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    const auto job = ports_.jobs->GetJob(key.job);
    if (!job.ok() && !absl::IsNotFound(job.status())) return job.status();
    const bool owned =
        job.ok() &&
        std::any_of(job->attempts.begin(), job->attempts.end(),
                    [&](const engine::StoredAttempt& attempt) {
                      return attempt.number == key.attempt &&
                             attempt.worker.value() == request_.worker();
                    });
    JobName name;
    if (owned) name = std::make_shared<const std::string>(job->name);
    known_.emplace(key, name);
    return name;
  }

  void CountKinds(const std::vector<telemetry::Entry>& entries) {
    const auto lines = std::count_if(
        entries.begin(), entries.end(), [](const telemetry::Entry& entry) {
          return entry.kind == telemetry::Kind::kLine;
        });
    lines_ = static_cast<size_t>(lines);
    points_ = entries.size() - lines_;
  }

  // On the hub's thread.
  void OnStored(const absl::Status& status) {
    if (status.ok()) {
      ports_.metrics->OnTelemetry(lines_, points_);
      StartWrite(&response_);
    } else {
      End(status);
    }
    Leave();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the worker went away"));
    if (!gate_.Enter()) return;
    StartRead(&request_);
    Leave();
  }

  void OnPulse(absl::Time) override {
    if (absl::Status good = ports_.guard->StillGood(caller_); !good.ok()) {
      End(good);
    }
  }
  void OnClose() override { End(StoppingError()); }
  void OnCancel() override {
    End(absl::CancelledError("the worker went away"));
  }

  void Leave() {
    if (gate_.Leave()) Finish(ToGrpcStatus(gate_.status()));
  }

  void End(const absl::Status& status) {
    if (gate_.End(status)) Finish(ToGrpcStatus(gate_.status()));
  }

  void OnDone() override {
    ports_.pulse->Remove(this);
    ports_.metrics->OnStreamEnded(kMethod, CodeName(gate_.status().code()));
    // May be the last owner.
    const std::shared_ptr<TelemetryReport> self = std::move(self_);
  }

  const Ports& ports_;
  std::shared_ptr<TelemetryReport> self_;  // until gRPC is done with it
  auth::Caller caller_;                    // since Start

  v1::ReportTelemetryRequest request_;
  v1::ReportTelemetryResponse response_;
  std::string known_worker_;
  absl::flat_hash_map<core::AttemptKey, JobName> known_;
  size_t lines_ = 0;
  size_t points_ = 0;

  FinishGate gate_;
};

}  // namespace

grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                        v1::ReportTelemetryResponse>*
StartTelemetryReport(const Ports& ports, grpc::CallbackServerContext* context) {
  const auto report = std::make_shared<TelemetryReport>(ports);
  report->Start(context);
  return report.get();
}

}  // namespace trainyard::rpc
