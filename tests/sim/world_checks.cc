// The invariants of World.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "server/core/lifecycle.h"
#include "server/engine/load.h"
#include "tests/sim/world.h"

namespace trainyard::sim {

using core::JobId;
using core::JobState;

// So no two live attempts of a job run un-fenced: the cluster has one, by
// number.
void World::CheckAttemptsRunOnce() {
  std::map<core::AttemptKey, int> starts;
  for (const Member& member : members_) {
    for (const auto& [key, times] : member.worker->started()) {
      starts[key] += times;
      EXPECT_EQ(starts[key], 1)
          << "jobs/" << key.job.value() << " attempt " << key.attempt;
    }
  }
}

void World::CheckNothingIsLost() {
  for (Member& member : members_) {
    for (const core::AttemptKey& key : member.worker->TakeForgotten()) {
      const engine::StoredJob job = *store_.GetJob(key.job);
      EXPECT_NE(job.attempts[key.attempt - 1].outcome, core::Outcome::kNone)
          << "the end of jobs/" << key.job.value() << " was forgotten";
    }
  }
  if (steps_ % 16 != 0) return;
  for (const auto& [request_id, submitted] : submitted_) {
    if (!submitted.job.has_value()) continue;
    const auto job = store_.GetJob(*submitted.job);
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->request_id, request_id);
    if (submitted.cancel_acknowledged) {
      EXPECT_TRUE(job->cancel_requested || job->state == JobState::kCancelled);
      EXPECT_TRUE(!core::IsFinal(job->state) ||
                  job->state == JobState::kCancelled)
          << core::JobStateName(job->state);
    }
  }
}

// Without faults, each attempt is seen to its end.
void World::CheckNoneWasLostSince(absl::Time calm) {
  for (const auto& [request_id, submitted] : submitted_) {
    if (!submitted.job.has_value()) continue;
    const engine::StoredJob job = *store_.GetJob(*submitted.job);
    for (const engine::StoredAttempt& attempt : job.attempts) {
      if (attempt.place_time < calm) continue;
      EXPECT_NE(attempt.outcome, core::Outcome::kLost) << request_id;
      EXPECT_TRUE(attempt.outcome != core::Outcome::kPreempted ||
                  attempt.preemption.has_value())
          << request_id;
    }
  }
}

// Who preempted whom: strictly by priority, or between queues.
void World::CheckPreemptions() {
  const core::Cluster& cluster = loop_->cluster();
  std::map<JobId, std::set<core::WorkerName>> claims;
  size_t stopping = 0;
  for (const auto& [name, worker] : cluster.workers()) {
    for (const core::AttemptKey& key : worker.attempts) {
      const core::Job& victim = *cluster.FindJob(key.job);
      if (!victim.attempt->preemption.has_value()) continue;
      const JobId by = victim.attempt->preemption->by;
      claims[by].insert(name);
      ++stopping;
      const engine::StoredJob other = *store_.GetJob(by);
      EXPECT_GE(other.scheduling.priority, victim.priority);
      EXPECT_TRUE(other.scheduling.priority > victim.priority ||
                  (policy_.preemption.by_share &&
                   other.scheduling.queue != victim.lane->user->queue->name))
          << "jobs/" << by.value() << " over jobs/" << key.job.value();
    }
  }
  // No job of this world needs more than two to stop.
  EXPECT_LE(stopping, policy_.preemption.max_at_once);
  for (const auto& [by, workers] : claims) {
    EXPECT_EQ(workers.size(), 1u) << "jobs/" << by.value();
  }
}

void World::CheckSameJob(const core::Job& a, const core::Job& b) {
  SCOPED_TRACE(::testing::Message() << "jobs/" << a.id.value());
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.failures, b.failures);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.last_attempt, b.last_attempt);
  EXPECT_EQ(a.not_before, b.not_before);
  EXPECT_EQ(a.cancel_requested, b.cancel_requested);
  EXPECT_EQ(a.checkpoint(), b.checkpoint());
  EXPECT_EQ(a.avoid(), b.avoid());
  EXPECT_EQ(a.request_id, b.request_id);
  EXPECT_EQ(a.priority, b.priority);
  EXPECT_EQ(a.lane->user->name, b.lane->user->name);
  EXPECT_EQ(a.lane->user->queue->name, b.lane->user->queue->name);
  ASSERT_EQ(a.attempt == nullptr, b.attempt == nullptr);
  if (a.attempt == nullptr) return;
  EXPECT_EQ(a.attempt->worker, b.attempt->worker);
  EXPECT_EQ(a.attempt->instance, b.attempt->instance);
  EXPECT_EQ(a.attempt->kind, b.attempt->kind);
  EXPECT_EQ(a.attempt->devices, b.attempt->devices);
  EXPECT_EQ(a.attempt->place_time, b.attempt->place_time);
  EXPECT_EQ(a.attempt->start_time, b.attempt->start_time);
  EXPECT_EQ(a.attempt->preemption, b.attempt->preemption);
}

void World::CheckStoreEqualsCluster() {
  if (steps_ % 4 != 0 || now_ < store_fails_until_ + absl::Seconds(6)) return;
  const absl::StatusOr<core::Cluster> stored =
      engine::LoadCluster(store_, policy_.order, now_);
  ASSERT_TRUE(stored.ok()) << stored.status();
  const core::Cluster& live = loop_->cluster();
  ASSERT_EQ(stored->revision(), live.revision());
  ASSERT_EQ(stored->last_job(), live.last_job());
  ASSERT_EQ(stored->live_jobs(), live.live_jobs());
  for (uint64_t id = 1; id <= live.last_job().value(); ++id) {
    const core::Job* a = stored->FindJob(JobId(id));
    const core::Job* b = live.FindJob(JobId(id));
    ASSERT_EQ(a == nullptr, b == nullptr) << id;
    if (a == nullptr) continue;
    CheckSameJob(*a, *b);
  }
  CheckSameQueues(stored->queues(), live.queues());
  for (const auto& [name, worker] : live.workers()) {
    const core::Worker* other = stored->FindWorker(name);
    EXPECT_EQ(worker.draining, other != nullptr && other->draining);
    if (other != nullptr) {
      EXPECT_EQ(worker.holders, other->holders);
    }
  }
}

}  // namespace trainyard::sim
