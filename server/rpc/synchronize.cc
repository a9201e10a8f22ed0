#include "server/rpc/synchronize.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/rpc/convert_readings.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/convert_worker.h"
#include "server/rpc/finish_gate.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/names.h"
#include "server/rpc/sent_sequences.h"

namespace trainyard::rpc {
namespace {

constexpr absl::string_view kMethod = "WorkerService/Synchronize";
// Heartbeats a worker may miss before its stream is ended.
constexpr int kMissedHeartbeats = 3;

using Reactor =
    grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>;

class Synchronize final : public Reactor,
                          public Pulse::Listener,
                          public WorkerSessions::Session,
                          public std::enable_shared_from_this<Synchronize> {
 public:
  Synchronize(const Ports& ports, WorkerSessions* sessions)
      : ports_(ports), sessions_(sessions) {}

  void Start(grpc::CallbackServerContext* context) {
    self_ = shared_from_this();
    ports_.metrics->OnStreamOpened(kMethod);
    absl::StatusOr<auth::Caller> caller =
        ports_.guard->Admit(*context, kMethod);
    if (!caller.ok()) return End(caller.status());
    caller_ = *std::move(caller);
    {
      absl::MutexLock lock(&mutex_);
      heard_ = ports_.clock->Now();
    }
    ports_.pulse->Add(self_);
    StartRead(&request_);
  }

 private:
  // ---- reports: read, check, post; then the next

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());  // half-closed, or broken
    absl::StatusOr<core::WorkerReport> report = Take();
    if (!report.ok()) return End(report.status());
    if (!gate_.Enter()) return;
    ports_.engine->Post(core::ReportWorker{*std::move(report)},
                        [self = shared_from_this()](const core::Reply& reply) {
                          self->OnReported(reply.status);
                        });
  }

  absl::StatusOr<core::WorkerReport> Take() {
    ASSIGN_OR_RETURN(core::WorkerReport report, FromProto(request_));
    RETURN_IF_ERROR(CheckIsWorker(caller_, report.worker.value()));
    const bool first = worker_.empty();
    if (first) {
      worker_ = report.worker;
      instance_ = report.instance;
    } else if (report.worker != worker_ || report.instance != instance_) {
      return absl::InvalidArgumentError(
          absl::StrCat("worker: ", Quoted(report.worker.value()),
                       " and instance_id ", Quoted(report.instance),
                       ": must be those of the stream's first "
                       "message: ",
                       Quoted(worker_.value()), " and ", Quoted(instance_)));
    }
    {
      absl::MutexLock lock(&mutex_);
      heard_ = ports_.clock->Now();
      report.applied_revision = sent_.Applied(request_.applied_sequence());
      reported_.clear();
      for (const core::AttemptStatus& status : report.attempts) {
        reported_.insert(status.key);
      }
    }
    reading_ =
        std::make_shared<const telemetry::WorkerReading>(ToReading(request_));
    if (first) {
      spdlog::info("worker {} opened its stream: instance {}, version {}, {}",
                   worker_.value(), instance_, report.version, report.platform);
      sessions_->Open(worker_, shared_from_this());
    }
    return report;
  }

  // On the engine's thread.
  void OnReported(const absl::Status& status) {
    if (absl::Status next = status.ok() ? SubscribeOnce() : status;
        !next.ok()) {
      End(next);
    } else {
      ports_.fleet_readings->Set(worker_.value(), std::move(reading_));
      {
        absl::MutexLock lock(&mutex_);
        heard_ = ports_.clock->Now();  // the engine's delay is not the worker's
      }
      StartRead(&request_);
    }
    Leave();
  }

  // Only after the first report: before, the engine might have told it to go on
  // with attempts that the report gave up.
  absl::Status SubscribeOnce() {
    if (std::exchange(subscribed_, true)) return absl::OkStatus();
    const bool taken = ports_.executor->Post(
        [self = shared_from_this()] { self->Subscribe(); });
    return taken ? absl::OkStatus() : Busy();
  }

  void Subscribe() {
    {
      // A stream that was replaced must not take the newer one's subscription.
      absl::MutexLock lock(&mutex_);
      if (done_) return;
    }
    const std::weak_ptr<Synchronize> weak = weak_from_this();
    const uint64_t subscription = ports_.engine->SubscribeWorker(
        worker_, [weak](const core::Desired& desired) {
          if (const auto self = weak.lock()) self->OnDesired(desired);
        });
    bool done = false;
    {
      absl::MutexLock lock(&mutex_);
      subscription_ = subscription;
      done = done_;
    }
    if (done) ports_.engine->UnsubscribeWorker(subscription);
  }

  // ---- what it should be: remember the newest, write when the one before is
  // out

  // On the engine's thread.
  void OnDesired(const core::Desired& desired) {
    // Meant for another process of the same name: it would start its attempts.
    if (desired.instance != instance_) return;
    {
      absl::MutexLock lock(&mutex_);
      desired_ = desired;
      if (std::exchange(writing_, true)) return;
    }
    ScheduleWrite();
  }

  void ScheduleWrite() {
    if (!gate_.Enter()) return;
    const bool taken =
        ports_.executor->Post([self = shared_from_this()] { self->Write(); });
    if (taken) return;
    End(Busy());
    Leave();
  }

  // On an executor's thread, never twice at once: writing_ is held.
  void Write() {
    const absl::StatusOr<bool> built = BuildResponse();
    if (!built.ok()) {
      End(built.status());
    } else if (*built) {
      StartWrite(&response_);
    }
    Leave();
  }

  // False: nothing new.
  absl::StatusOr<bool> BuildResponse() {
    core::Desired desired;
    absl::flat_hash_set<core::AttemptKey> reported;
    uint64_t sequence = 0;
    {
      absl::MutexLock lock(&mutex_);
      if (!desired_.has_value()) {
        writing_ = false;
        return false;
      }
      desired = *std::exchange(desired_, std::nullopt);
      reported = reported_;
      sequence = sent_.Add(desired.revision);
    }
    response_ = ToProto(desired, sequence, ports_.options.heartbeat_interval);
    RETURN_IF_ERROR(AddSpecs(reported));
    return true;
  }

  // Of attempts the worker does not hold yet. All of them or none of the
  // message: the worker counts as having heard of each attempt in it.
  absl::Status AddSpecs(const absl::flat_hash_set<core::AttemptKey>& reported) {
    for (v1::DesiredAttempt& attempt : *response_.mutable_attempts()) {
      const core::JobId job(attempt.key().job());
      if (reported.contains({job, attempt.key().attempt()})) continue;
      const auto spec = ports_.jobs->GetSpec(job);
      if (!spec.ok() || !attempt.mutable_spec()->ParseFromString(*spec)) {
        spdlog::error("the spec of {} cannot be sent to worker {}: {}",
                      JobName(job), worker_.value(),
                      spec.ok() ? "it is damaged" : spec.status().ToString());
        return absl::UnavailableError(absl::StrCat(
            "the spec of ", JobName(job), " cannot be read: try again later"));
      }
    }
    return absl::OkStatus();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the worker went away"));
    ScheduleWrite();
  }

  // ---- its end

  void OnReplaced() override {
    spdlog::warn("worker {}: a newer stream took over from instance {}",
                 worker_.value(), instance_);
    End(absl::AbortedError(
        absl::StrCat("a newer stream of worker ", worker_.value(),
                     " took over: worker names must be unique")));
  }

  void OnPulse(absl::Time now) override {
    if (absl::Status good = ports_.guard->StillGood(caller_); !good.ok()) {
      return End(good);
    }
    const absl::Duration limit =
        kMissedHeartbeats * ports_.options.heartbeat_interval;
    {
      absl::MutexLock lock(&mutex_);
      if (now - heard_ < limit) return;
    }
    End(absl::DeadlineExceededError(absl::StrCat(
        "nothing was heard on this stream for ", absl::FormatDuration(limit))));
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
    uint64_t subscription = 0;
    const absl::StatusCode code = gate_.status().code();
    {
      absl::MutexLock lock(&mutex_);
      done_ = true;
      subscription = subscription_;
    }
    if (subscription != 0) ports_.engine->UnsubscribeWorker(subscription);
    if (!worker_.empty()) {
      sessions_->Close(worker_, this, [this] {
        ports_.fleet_readings->Forget(worker_.value());
        ports_.engine->Post(core::DisconnectWorker{worker_, instance_},
                            [](const core::Reply&) {});
      });
      spdlog::info("the stream of worker {} ended: {}", worker_.value(),
                   std::string(CodeName(code)));
    }
    ports_.metrics->OnStreamEnded(kMethod, CodeName(code));
    // May be the last owner.
    const std::shared_ptr<Synchronize> self = std::move(self_);
  }

  static absl::Status Busy() {
    return absl::ResourceExhaustedError(
        "too many streams wait for the disk: try again later");
  }

  const Ports& ports_;
  WorkerSessions* const sessions_;
  std::shared_ptr<Synchronize> self_;  // until gRPC is done with it
  auth::Caller caller_;                // since Start

  // Of the report under way: between OnReadDone and the next StartRead.
  v1::SynchronizeRequest request_;
  core::WorkerName worker_;
  std::string instance_;
  std::shared_ptr<const telemetry::WorkerReading> reading_;
  bool subscribed_ = false;

  v1::SynchronizeResponse response_;  // Write's, or on its way

  FinishGate gate_;

  absl::Mutex mutex_;
  absl::Time heard_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<core::AttemptKey> reported_ ABSL_GUARDED_BY(mutex_);
  SentSequences sent_ ABSL_GUARDED_BY(mutex_);
  std::optional<core::Desired> desired_ ABSL_GUARDED_BY(mutex_);  // not sent
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t subscription_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>*
StartSynchronize(const Ports& ports, grpc::CallbackServerContext* context,
                 WorkerSessions* sessions) {
  const auto session = std::make_shared<Synchronize>(ports, sessions);
  session->Start(context);
  return session.get();
}

}  // namespace trainyard::rpc
