// A stream that the server writes: level-triggered. Whoever has news calls
// Wake(); then, on the executor's threads and never twice at once, Produce()
// says what to send next, as of now. News that comes while a message is on its
// way is found by the next Produce(): at most one message waits, the newest.
//
//   class Watch : public StreamCall<v1::WatchJobsResponse> {
//     Next Produce(v1::WatchJobsResponse* response) override { … } };
//   return StreamCall<…>::Start(std::make_shared<Watch>(ports, …), context);
//
// A caller who may not is told so; one whose token ends meanwhile, too.
//
// Thread-safe.
#pragma once

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/ports.h"
#include "server/rpc/pulse.h"

namespace trainyard::rpc {

template <typename Response>
class StreamCall : public grpc::ServerWriteReactor<Response>,
                   public Pulse::Listener,
                   public std::enable_shared_from_this<StreamCall<Response>> {
 public:
  // `method` is a literal.
  StreamCall(const Ports& ports, absl::string_view method)
      : ports_(ports), method_(method) {}

  // Keeps the call until gRPC is done with it.
  static grpc::ServerWriteReactor<Response>* Start(
      std::shared_ptr<StreamCall> call, grpc::CallbackServerContext* context) {
    StreamCall* const reactor = call.get();
    reactor->self_ = call;
    reactor->ports_.metrics->OnStreamOpened(reactor->method_);
    absl::StatusOr<auth::Caller> caller =
        reactor->ports_.guard->Admit(*context, reactor->method_);
    if (!caller.ok()) {
      reactor->FinishWith(caller.status());
      return reactor;
    }
    reactor->caller_ = *std::move(caller);
    {
      absl::MutexLock lock(&reactor->mutex_);
      reactor->last_sent_ = reactor->ports_.clock->Now();
    }
    reactor->ports_.pulse->Add(call);
    reactor->Wake();
    return reactor;
  }

  void Wake() {
    {
      absl::MutexLock lock(&mutex_);
      news_ = true;
      if (busy_ || finished_) return;
      busy_ = true;
    }
    Schedule();
  }

 protected:
  enum class Next {
    kSend,  // the response; then Produce() again
    kIdle,  // nothing new; the response, with its cursor, is a sign of life
    kEnd,   // end the stream with end_status_
  };

  // On an executor's thread.
  virtual Next Produce(Response* response) = 0;
  // Once, when no other method runs or will run: leave what wakes it.
  virtual void OnEnd() {}

  Next End(absl::Status status) {
    end_status_ = std::move(status);
    return Next::kEnd;
  }
  // Calls Wake() at about that time at the latest.
  void WakeAt(absl::Time time) {
    absl::MutexLock lock(&mutex_);
    wake_at_ = time;
  }
  const Ports& ports() const { return ports_; }

 private:
  void Schedule() {
    const bool taken = ports_.executor->Post(
        [self = this->shared_from_this()] { self->Step(); });
    if (!taken) FinishWith(UnaryBusy());
  }

  void Step() {
    absl::Status ended;
    bool sign_of_life = false;
    {
      absl::MutexLock lock(&mutex_);
      if (cancelled_) {
        ended = absl::CancelledError("the caller went away");
      } else if (closing_) {
        ended = StoppingError();
      } else {
        ended = expelled_;
      }
      news_ = false;
      const absl::Time now = ports_.clock->Now();
      if (wake_at_ <= now) wake_at_ = absl::InfiniteFuture();
      sign_of_life = now - last_sent_ >= ports_.options.sign_of_life;
    }
    if (!ended.ok()) return FinishWith(ended);
    response_.Clear();
    const Next next = Produce(&response_);
    if (next == Next::kEnd) return FinishWith(end_status_);
    if (next == Next::kSend || sign_of_life) {
      {
        absl::MutexLock lock(&mutex_);
        last_sent_ = ports_.clock->Now();
      }
      return this->StartWrite(&response_);
    }
    {
      absl::MutexLock lock(&mutex_);
      if (!news_ && !cancelled_ && !closing_) {
        busy_ = false;
        return;
      }
    }
    Schedule();
  }

  void FinishWith(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      if (finished_) return;
      finished_ = true;
      final_code_ = status.code();
    }
    this->Finish(ToGrpcStatus(status));
  }

  static absl::Status UnaryBusy() {
    return absl::ResourceExhaustedError(
        "too many streams wait for the disk: try again later");
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
    }
    Schedule();
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
    }
    Wake();
  }

  void OnDone() override {
    ports_.pulse->Remove(this);
    OnEnd();
    absl::StatusCode code;
    {
      absl::MutexLock lock(&mutex_);
      finished_ = true;
      code = final_code_;
    }
    ports_.metrics->OnStreamEnded(method_, CodeName(code));
    // May be the last owner.
    const std::shared_ptr<StreamCall> self = std::move(self_);
  }

  void OnPulse(absl::Time now) override {
    absl::Status good = ports_.guard->StillGood(caller_);
    {
      absl::MutexLock lock(&mutex_);
      expelled_ = std::move(good);
      const bool due = !expelled_.ok() || now >= wake_at_ ||
                       now - last_sent_ >= ports_.options.sign_of_life;
      if (!due) return;
    }
    Wake();
  }

  void OnClose() override {
    {
      absl::MutexLock lock(&mutex_);
      closing_ = true;
    }
    Wake();
  }

  const Ports& ports_;
  const absl::string_view method_;
  std::shared_ptr<StreamCall> self_;
  Response response_;        // Step's, or on its way
  absl::Status end_status_;  // Step's
  auth::Caller caller_;      // since Start

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // a step or a write is under way
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Not OK: the caller's token has ended.
  absl::Status expelled_ ABSL_GUARDED_BY(mutex_);
  absl::StatusCode final_code_ ABSL_GUARDED_BY(mutex_) =
      absl::StatusCode::kCancelled;
  absl::Time last_sent_ ABSL_GUARDED_BY(mutex_);
  absl::Time wake_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
};

}  // namespace trainyard::rpc
