#include "server/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "server/engine/decision_loop.h"
#include "server/engine/inbox.h"
#include "server/engine/subscriptions.h"

namespace trainyard::engine {

// The thread owns loop_ from Start() to Stop(); the other members lock
// themselves.
class Engine::Impl {
 public:
  Impl(EngineOptions options, Clock* clock, Store* store, Metrics* metrics)
      : options_(options),
        clock_(clock),
        metrics_(metrics),
        loop_(options.policy, store, metrics),
        inbox_(options.inbox_limit, options.inbox_limit_bytes) {}
  ~Impl() { Stop(); }

  absl::Status Start();
  void Stop();
  void Post(core::Command command, ReplyCallback done);
  bool Read(absl::AnyInvocable<void(const core::Cluster&)> read);
  uint64_t SubscribeWorker(const core::WorkerName& worker,
                           DesiredCallback callback);
  void Unsubscribe(uint64_t id) { subscriptions_.Remove(id); }
  uint64_t SubscribeRevision(RevisionCallback callback) {
    return subscriptions_.AddRevision(std::move(callback));
  }
  core::Revision revision() const { return revision_.load(); }

 private:
  void Run();
  void RunRound(std::vector<Inbox::Item> items, bool tick);
  void Refuse(std::vector<Inbox::Item> items);
  void TellGauges();

  const EngineOptions options_;
  Clock* const clock_;
  Metrics* const metrics_;
  DecisionLoop loop_;
  Inbox inbox_;
  Subscriptions subscriptions_;
  std::atomic<core::Revision> revision_ = 0;
  std::thread thread_;
};

absl::Status Engine::Impl::Start() {
  if (thread_.joinable()) {
    return absl::FailedPreconditionError("the engine runs already");
  }
  if (absl::Status status = loop_.Load(clock_->Now()); !status.ok()) {
    return status;
  }
  revision_ = loop_.cluster().revision();
  inbox_.Open();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Engine::Impl::Stop() {
  inbox_.Close();
  if (thread_.joinable()) thread_.join();
}

void Engine::Impl::Post(core::Command command, ReplyCallback done) {
  Inbox::Item item = Request{std::move(command), std::move(done)};
  const absl::Status status = inbox_.Push(item);
  if (!status.ok()) std::get<Request>(item).done(core::Reply{status, {}});
}

bool Engine::Impl::Read(absl::AnyInvocable<void(const core::Cluster&)> read) {
  Inbox::Item item = Inquiry{std::move(read)};
  return inbox_.Push(item).ok();
}

uint64_t Engine::Impl::SubscribeWorker(const core::WorkerName& worker,
                                       DesiredCallback callback) {
  const uint64_t id = subscriptions_.AddWorker(worker, std::move(callback));
  inbox_.Wake();
  return id;
}

void Engine::Impl::Run() {
  // The pace of ticks is real time, so that a clock that stands still or jumps
  // does not stop them; what a tick decides goes by clock_.
  using Steady = std::chrono::steady_clock;
  auto next_tick = Steady::now();
  while (true) {
    const absl::Duration left = absl::FromChrono(next_tick - Steady::now());
    std::vector<Inbox::Item> items =
        inbox_.Take(options_.batch_limit, std::max(left, absl::ZeroDuration()));
    if (inbox_.closed()) {
      Refuse(std::move(items));
      return;
    }
    const bool tick = Steady::now() >= next_tick;
    if (tick) {
      next_tick =
          Steady::now() + absl::ToChronoNanoseconds(options_.tick_interval);
    }
    RunRound(std::move(items), tick);
  }
}

void Engine::Impl::RunRound(std::vector<Inbox::Item> items, bool tick) {
  std::vector<core::Command> commands;
  std::vector<ReplyCallback> callbacks;
  std::vector<Inquiry> inquiries;
  for (Inbox::Item& item : items) {
    if (auto* request = std::get_if<Request>(&item)) {
      commands.push_back(std::move(request->command));
      callbacks.push_back(std::move(request->done));
    } else {
      inquiries.push_back(std::move(std::get<Inquiry>(item)));
    }
  }
  if (tick) commands.push_back(core::Tick{});
  const Round round = loop_.RunOnce(commands, clock_->Now());
  if (loop_.loaded()) revision_ = loop_.cluster().revision();
  for (size_t i = 0; i < callbacks.size(); ++i) callbacks[i](round.replies[i]);
  for (Inquiry& inquiry : inquiries) inquiry.read(loop_.cluster());
  if (!loop_.loaded()) return;
  subscriptions_.Deliver(loop_.cluster(), round.workers, round.jobs_changed);
  TellGauges();
}

void Engine::Impl::Refuse(std::vector<Inbox::Item> items) {
  while (!items.empty()) {
    for (Inbox::Item& item : items) {
      if (auto* request = std::get_if<Request>(&item)) {
        request->done({absl::UnavailableError("the server is stopping"), {}});
      } else {
        // It was promised to be called, and the cluster is as committed.
        std::get<Inquiry>(item).read(loop_.cluster());
      }
    }
    items = inbox_.Take(options_.batch_limit, absl::ZeroDuration());
  }
}

void Engine::Impl::TellGauges() {
  const core::Cluster& cluster = loop_.cluster();
  metrics_->OnGauges(cluster.CountJobs(core::JobState::kQueued),
                     cluster.CountJobs(core::JobState::kStarting),
                     cluster.CountJobs(core::JobState::kRunning), inbox_.size(),
                     cluster.fleet().Count(core::WorkerState::kOnline),
                     cluster.fleet().Count(core::WorkerState::kSilent));
}

Engine::Engine(EngineOptions options, Clock* clock, Store* store,
               Metrics* metrics)
    : impl_(std::make_unique<Impl>(options, clock, store, metrics)) {}
Engine::~Engine() = default;
absl::Status Engine::Start() { return impl_->Start(); }
void Engine::Stop() { impl_->Stop(); }
void Engine::Post(core::Command command, ReplyCallback done) {
  impl_->Post(std::move(command), std::move(done));
}
bool Engine::Read(absl::AnyInvocable<void(const core::Cluster&)> read) {
  return impl_->Read(std::move(read));
}
uint64_t Engine::SubscribeWorker(const core::WorkerName& worker,
                                 DesiredCallback callback) {
  return impl_->SubscribeWorker(worker, std::move(callback));
}
void Engine::UnsubscribeWorker(uint64_t subscription) {
  impl_->Unsubscribe(subscription);
}
uint64_t Engine::SubscribeRevision(RevisionCallback callback) {
  return impl_->SubscribeRevision(std::move(callback));
}
void Engine::UnsubscribeRevision(uint64_t subscription) {
  impl_->Unsubscribe(subscription);
}
core::Revision Engine::revision() const { return impl_->revision(); }

}  // namespace trainyard::engine
