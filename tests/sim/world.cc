#include "tests/sim/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/explain.h"

namespace trainyard::sim {

using core::DeviceKind;
using core::JobId;

namespace {

constexpr absl::Duration kStep = absl::Milliseconds(50);
constexpr absl::Duration kHeartbeat = absl::Milliseconds(500);

core::Device MakeDevice(DeviceKind kind, int number) {
  core::Device device;
  device.id = absl::StrCat(static_cast<int>(kind), ":", number);
  device.kind = kind;
  device.memory_bytes = device.free_memory_bytes = 1 << (4 + number);
  return device;
}

}  // namespace

World::World(uint64_t seed)
    : seed_(seed),
      random_(seed),
      half_life_(absl::Seconds(seed % 3 == 0 ? 86400 : 10)),
      ledger_(half_life_) {
  policy_.worker_lease = absl::Seconds(3);
  policy_.order = {.ageing = kAgeing,
                   .half_life = half_life_,
                   .reserve_after = kReserveAfter};
  policy_.preemption.min_run_time = absl::Milliseconds(200);
  policy_.preemption.grace = absl::Milliseconds(Pick(500));
  policy_.preemption.by_share = Chance(0.5);
  // Who is lifted by age may be preempted all the same, again and again: there
  // is a bound on waiting only without preemption.
  if (HasFlood()) policy_.preemption.max_at_once = 0;
  const int workers = 1 + Pick(5);
  cards_ = 2 + Pick(3);
  wide_jobs_ = std::vector<double>{0.05, 0.3, 0.7}[Pick(3)];
  for (int i = 0; i < workers; ++i) {
    // The first one can run everything, so that every job can end.
    std::vector<core::Device> devices = {MakeDevice(DeviceKind::kCpu, 0)};
    const int cards = i == 0 ? cards_ : Pick(cards_ + 1);
    for (int n = 0; n < cards; ++n) {
      devices.push_back(MakeDevice(DeviceKind::kCuda, n));
    }
    Member& member = members_.emplace_back();
    member.worker = std::make_unique<ModelWorker>(
        seed, core::WorkerName(absl::StrCat("w", i)), std::move(devices),
        random_);
    member.reconnect_at = now_;
  }
  StartServer();
}

bool World::Chance(double probability) {
  return std::bernoulli_distribution(probability)(random_);
}
int World::Pick(int below) {
  return std::uniform_int_distribution<int>(0, below - 1)(random_);
}
absl::Time World::Later() {
  return now_ + absl::Milliseconds(Pick(faults_ ? 300 : 30));
}

void World::RunWithFaults(absl::Duration duration) {
  const absl::Time end = now_ + duration;
  while (now_ < end && !::testing::Test::HasFailure()) Step();
}

void World::EndFaults() {
  faults_ = false;
  store_fails_until_ = now_;
  store_.FailCommits(0, absl::OkStatus());
  store_.FailLoads(0, absl::OkStatus());
  if (loop_ == nullptr) StartServer();
  for (Member& member : members_) {
    member.worker->leaving = false;
    if (member.stream != nullptr && member.stream->stalled) Break(member);
  }
  calm_ = now_ + absl::Seconds(20);
}

void World::RunWithFlood() {
  EndFaults();
  while (now_ < calm_ && !::testing::Test::HasFailure()) Step();
  std::set<JobId> waiting;
  for (const auto& [id, job] : ledger_.jobs()) {
    if (!job.over && !job.IsLive()) waiting.insert(id);
  }
  const absl::Time begin = now_;
  const absl::Time end = begin + LongestWait(waiting.size());
  while (!waiting.empty() && now_ < end && !::testing::Test::HasFailure()) {
    Flood();
    Step();
    std::erase_if(waiting, [&](JobId id) {
      const Ledger::Entry& job = ledger_.jobs().at(id);
      return job.over ||
             (!job.attempts.empty() && job.attempts.back().placed >= begin);
    });
  }
  for (JobId id : waiting) {
    EXPECT_TRUE(::testing::Test::HasFailure())
        << "jobs/" << id.value() << " was not placed in " << end - begin;
  }
}

absl::Duration World::LongestWait(size_t waiting) const {
  // By then age has made all priorities equal, so shares decide.
  const absl::Duration grown = kTopPriority * kAgeing;
  // The flood has had nothing yet; by then it has had as much as any other
  // queue could have had before it, so weights decide. None is below its own.
  const absl::Duration caught_up = now_ - begin_;
  // So of two attempts at most one is the flood's, even on a single device; and
  // a wide job waits for what is kept for it.
  const absl::Duration turn = kReserveAfter + 2 * kLongestAttempt;
  return grown + caught_up +
         static_cast<int64_t>(waiting) * (kMaxRetries + 1) * turn;
}

void World::RunUntilDone(absl::Duration longest) {
  if (faults_) EndFaults();
  const absl::Time end = now_ + longest;
  const auto done = [&] {
    if (loop_ == nullptr || clients_jobs_ < kJobs || !unacknowledged_.empty() ||
        loop_->cluster().live_jobs() > 0) {
      return false;
    }
    return std::all_of(members_.begin(), members_.end(),
                       [](const Member& m) { return m.worker->held() == 0; });
  };
  while (!done() && now_ < end && !::testing::Test::HasFailure()) Step();
  CheckNoneWasLostSince(calm_);
  EXPECT_TRUE(done()) << DescribeStuck();
  if (!::testing::Test::HasFailure()) CheckNothingIsLeft();
}

std::string World::DescribeStuck() const {
  std::string text = absl::StrCat(unacknowledged_.size(), " unacknowledged; ");
  if (loop_ == nullptr) return absl::StrCat(text, "the server is down");
  const core::Cluster& cluster = loop_->cluster();
  for (uint64_t id = 1; id <= cluster.last_job().value(); ++id) {
    if (cluster.FindJob(JobId(id)) == nullptr) continue;
    absl::StrAppend(&text, "jobs/", id, ": ",
                    core::Explain(cluster, JobId(id), now_), " ");
  }
  for (const Member& member : members_) {
    absl::StrAppend(&text, member.worker->name().value(), " holds ",
                    member.worker->held(), "; ");
  }
  return text;
}

void World::Step() {
  now_ += kStep;
  ++steps_;
  if (faults_) InjectFaults();
  if (loop_ == nullptr && now_ >= server_up_at_) StartServer();
  ActClients();
  if (loop_ != nullptr) ActOperator();
  for (Member& member : members_) ActWorker(member);
  for (Member& member : members_) Receive(member);
  if (loop_ != nullptr) RunServer();
  CheckAttemptsRunOnce();
  CheckNothingIsLost();
}

void World::InjectFaults() {
  if (loop_ != nullptr && Chance(0.005)) CrashServer();
  if (Chance(0.005)) {
    store_fails_until_ = now_ + absl::Milliseconds(Pick(3000));
    store_.FailCommits(1'000'000, absl::ResourceExhaustedError("disk full"));
    if (Chance(0.3)) store_.FailLoads(2, absl::UnavailableError("locked"));
  } else if (now_ >= store_fails_until_) {
    store_.FailCommits(0, absl::OkStatus());
    store_.FailLoads(0, absl::OkStatus());
  }
  for (Member& member : members_) {
    if (Chance(0.003)) {
      Break(member);
      member.worker->Restart();
    }
    if (member.stream != nullptr && Chance(0.005)) Break(member);
    if (member.stream != nullptr && Chance(0.003)) {
      member.stream->stalled = true;
    }
    // The first one stays, so that every job can end.
    if (&member != &members_.front() && Chance(0.0005)) {
      Break(member);
      member.worker->Restart();
      member.reconnect_at = absl::InfiniteFuture();
    }
    if (Chance(0.002)) member.worker->leaving = !member.worker->leaving;
    if (Chance(0.002)) {
      Post(core::DrainWorker{member.worker->name(), Chance(0.5)}, {});
    }
  }
}

void World::Post(core::Command command, Caller caller) {
  if (loop_ == nullptr) return;  // connection refused
  inbox_.push_back(std::move(command));
  callers_.push_back(std::move(caller));
}

void World::ActWorker(Member& member) {
  ModelWorker& worker = *member.worker;
  if (member.stream == nullptr && now_ >= member.reconnect_at) {
    if (loop_ == nullptr) {
      member.reconnect_at = Later();
    } else {
      member.stream = std::make_unique<Stream>();
      worker.Connect();
      member.last_said = absl::InfinitePast();
    }
  }
  bool news = worker.Step();
  Stream* stream = member.stream.get();
  while (stream != nullptr && !stream->to_worker.empty() &&
         stream->to_worker.front().arrival <= now_) {
    worker.Apply(stream->to_worker.front().message);
    stream->to_worker.pop_front();
    news = true;
  }
  if (stream != nullptr && (news || now_ - member.last_said >= kHeartbeat)) {
    member.last_said = now_;
    if (!stream->stalled) {
      stream->to_server.push_back({Later(), worker.Say()});
    } else if (Chance(0.05)) {
      Break(member);  // keepalive noticed
    }
  }
}

void World::Receive(Member& member) {
  Stream* stream = member.stream.get();
  if (stream == nullptr || loop_ == nullptr) return;
  while (!stream->to_server.empty() &&
         stream->to_server.front().arrival <= now_) {
    Request request = std::move(stream->to_server.front().message);
    stream->to_server.pop_front();
    if (!stream->subscription.has_value()) {
      stream->instance = request.report.instance;
      stream->subscription = subscriptions_->AddWorker(
          member.worker->name(), [this, stream](const core::Desired& desired) {
            if (desired.instance != stream->instance) return;
            stream->revisions[++stream->sequence] = desired.revision;
            if (stream->stalled) return;
            stream->to_worker.push_back({Later(), {stream->sequence, desired}});
          });
    }
    const auto applied = stream->revisions.find(request.applied_sequence);
    if (applied != stream->revisions.end()) {
      request.report.applied_revision = applied->second;
    }
    Caller caller;
    caller.worker = member.worker->name();
    Post(core::ReportWorker{request.report}, caller);
    if (faults_ && Chance(0.05)) {
      Post(core::ReportWorker{request.report}, caller);  // twice
    }
  }
}

void World::RunServer() {
  inbox_.push_back(core::Tick());
  callers_.emplace_back();
  const engine::Round round = loop_->RunOnce(inbox_, now_);
  inbox_.clear();
  ledger_.Apply(store_.TakeCommitted());
  if (faults_ && Chance(0.002)) {
    CrashServer();  // after the commit, before anyone heard of it
    return;
  }
  HandleReplies(round);
  if (loop_ == nullptr || !loop_->loaded()) return;
  subscriptions_->Deliver(loop_->cluster(), round.workers, round.jobs_changed);
  CheckStoreEqualsCluster();
  CheckUsageIsAsCounted();
  CheckPreemptions();
  CheckNoneWaitsBesideAnIdleDevice();
}

void World::HandleReplies(const engine::Round& round) {
  const std::vector<Caller> callers = std::exchange(callers_, {});
  ASSERT_EQ(callers.size(), round.replies.size());
  for (size_t i = 0; i < callers.size(); ++i) {
    HandleReply(callers[i], round.replies[i]);
  }
}

void World::HandleReply(const Caller& caller, const core::Reply& reply) {
  if (!caller.request_id.empty() && reply.status.ok()) {
    ASSERT_EQ(reply.submits.size(), 1u);
    if (!reply.submits[0].status.ok()) return;
    std::optional<JobId>& job = submitted_[caller.request_id].job;
    if (job.has_value()) {
      EXPECT_EQ(*job, reply.submits[0].job) << caller.request_id;
    }
    job = reply.submits[0].job;
    unacknowledged_.erase(caller.request_id);
  } else if (!caller.cancel.empty()) {
    submitted_[caller.cancel].cancel_acknowledged |= reply.status.ok();
  } else if (!caller.worker.empty() && !reply.status.ok()) {
    for (Member& member : members_) {
      if (member.worker->name() == caller.worker && Chance(0.5)) Break(member);
    }
  }
}

void World::Break(Member& member) {
  if (member.stream == nullptr) return;
  if (loop_ != nullptr && member.stream->subscription.has_value()) {
    subscriptions_->Remove(*member.stream->subscription);
    Post(core::DisconnectWorker{member.worker->name(), member.stream->instance},
         {});
  }
  member.stream.reset();
  member.reconnect_at = std::max(member.reconnect_at, Later());
}

void World::StartServer() {
  auto loop =
      std::make_unique<engine::DecisionLoop>(policy_, &store_, &metrics_);
  if (!loop->Load(now_).ok()) {
    server_up_at_ = Later();
    return;
  }
  loop_ = std::move(loop);
  subscriptions_ = std::make_unique<engine::Subscriptions>();
}

void World::CrashServer() {
  for (Member& member : members_) {
    member.stream.reset();
    member.reconnect_at = std::max(member.reconnect_at, Later());
  }
  loop_.reset();
  subscriptions_.reset();
  inbox_.clear();
  callers_.clear();
  server_up_at_ = now_ + absl::Milliseconds(Pick(6000));
}

}  // namespace trainyard::sim
