// The invariants of World about queues and their order, by the words of
// docs/scheduling.md and not by those of the placement.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/sim/world.h"

namespace trainyard::sim {

using core::DeviceKind;
using core::JobId;

namespace {

constexpr double kRounding = 1e-6;

// Of the worker's devices, those of the kind with the memory, whoever has them.
int64_t CountDevices(const core::Worker& worker,
                     const core::DeviceRequest& request, bool idle) {
  return std::count_if(
      worker.devices.begin(), worker.devices.end(), [&](const auto& device) {
        return device.kind == request.kind &&
               device.free_memory_bytes >= request.min_memory_bytes &&
               !(idle && worker.holders.contains(device.id));
      });
}

bool IsInService(const core::Worker& worker) {
  return worker.state == core::WorkerState::kOnline && !worker.draining &&
         !worker.leaving;
}

// Whether room is being made there for a job that waits: what is idle is kept
// until all of it is.
bool IsRoomMade(const core::Cluster& cluster, const core::Worker& worker) {
  return std::any_of(
      worker.attempts.begin(), worker.attempts.end(),
      [&](const core::AttemptKey& key) {
        const auto& preemption = cluster.FindJob(key.job)->attempt->preemption;
        if (!preemption.has_value()) return false;
        const core::Job* by = cluster.FindJob(preemption->by);
        return by != nullptr && by->state == core::JobState::kQueued;
      });
}

}  // namespace

void World::CheckNoneWaitsBesideAnIdleDevice() {
  // The store failed a moment ago: placements wait.
  if (now_ < store_fails_until_ + absl::Seconds(6)) return;
  std::set<core::WorkerName> kept;
  for (const auto& [id, job] : ledger_.jobs()) {
    if (!job.IsWaiting(now_)) continue;
    for (const core::DeviceRequest& request : job.scheduling.devices) {
      if (!ledger_.Allows(job.scheduling.queue, request, now_, -kRounding))
        continue;
      for (const auto& [name, worker] : loop_->cluster().workers()) {
        if (!IsInService(worker) || IsRoomMade(loop_->cluster(), worker) ||
            CountDevices(worker, request, true) < request.count) {
          continue;
        }
        kept.insert(name);
        EXPECT_TRUE(MayBeKept(id, worker, request.kind))
            << "jobs/" << id.value() << " waits beside " << name.value();
      }
    }
  }
  EXPECT_LE(kept.size(), 1u) << "devices of several workers are kept";
}

bool World::MayBeKept(JobId job, const core::Worker& worker,
                      DeviceKind kind) const {
  return std::any_of(
      ledger_.jobs().begin(), ledger_.jobs().end(), [&](const auto& other) {
        const auto& [id, wide] = other;
        const auto& requests = wide.scheduling.devices;
        return id != job && wide.IsWaiting(now_) &&
               now_ - wide.queued_since >= kReserveAfter &&
               std::any_of(requests.begin(), requests.end(),
                           [&](const core::DeviceRequest& request) {
                             return request.kind == kind && request.count > 1 &&
                                    CountDevices(worker, request, false) >=
                                        request.count;
                           });
      });
}

void World::CheckSameQueues(const core::Queues& stored,
                            const core::Queues& live) {
  ASSERT_EQ(stored.queues().size(), live.queues().size());
  for (const auto& [name, queue] : live.queues()) {
    SCOPED_TRACE(::testing::Message() << "queues/" << name.value());
    const core::Queue* other = stored.Find(name);
    ASSERT_NE(other, nullptr);
    EXPECT_EQ(other->settings, queue.settings);
    EXPECT_EQ(other->jobs, queue.jobs);
    EXPECT_EQ(other->usage.attempts(), queue.usage.attempts());
    EXPECT_NEAR(other->usage.DeviceHours(now_), queue.usage.DeviceHours(now_),
                kRounding);
    for (DeviceKind kind : core::kDeviceKinds) {
      EXPECT_EQ(other->usage.Held(kind), queue.usage.Held(kind));
      EXPECT_NEAR(other->usage.Mean(kind, now_), queue.usage.Mean(kind, now_),
                  kRounding);
    }
    for (const auto& [user_name, user] : queue.users) {
      SCOPED_TRACE(::testing::Message() << "user " << user_name.value());
      const auto it = other->users.find(user_name);
      if (it == other->users.end()) {
        EXPECT_TRUE(user.usage.IsNegligible(now_));
        continue;
      }
      const core::Usage& usage = it->second.usage;
      EXPECT_EQ(usage.attempts(), user.usage.attempts());
      EXPECT_NEAR(usage.DeviceHours(now_), user.usage.DeviceHours(now_),
                  kRounding);
      for (DeviceKind kind : core::kDeviceKinds) {
        EXPECT_EQ(usage.Held(kind), user.usage.Held(kind));
        EXPECT_NEAR(usage.Mean(kind, now_), user.usage.Mean(kind, now_),
                    kRounding);
      }
    }
  }
}

void World::CheckUsageIsAsCounted() {
  if (steps_ % 4 != 0) return;
  const core::Queues& queues = loop_->cluster().queues();
  ASSERT_EQ(queues.queues().size(), ledger_.queues().size());
  for (const auto& [name, settings] : ledger_.queues()) {
    SCOPED_TRACE(::testing::Message() << "queues/" << name.value());
    const core::Queue* queue = queues.Find(name);
    ASSERT_NE(queue, nullptr);
    EXPECT_EQ(queue->settings, settings);
    EXPECT_EQ(queue->usage.attempts(), ledger_.LiveAttemptsOf(name));
    EXPECT_NEAR(queue->usage.DeviceHours(now_), ledger_.DeviceHours(name, now_),
                kRounding);
    for (DeviceKind kind : core::kDeviceKinds) {
      EXPECT_EQ(queue->usage.Held(kind), ledger_.HeldBy(name, kind));
      EXPECT_NEAR(queue->usage.Mean(kind, now_),
                  ledger_.Mean(name, std::nullopt, kind, now_), kRounding);
      for (const auto& [user, account] : queue->users) {
        EXPECT_NEAR(account.usage.Mean(kind, now_),
                    ledger_.Mean(name, user, kind, now_), 2 * kRounding)
            << "user " << user.value();
      }
    }
  }
}

void World::CheckNothingIsLeft() {
  const core::Cluster& cluster = loop_->cluster();
  EXPECT_TRUE(cluster.deadlines().empty());
  EXPECT_TRUE(cluster.queues().delayed().empty());
  for (const auto& [name, queue] : cluster.queues().queues()) {
    EXPECT_EQ(queue.jobs, 0u) << name.value();
    EXPECT_EQ(queue.usage.attempts(), 0u) << name.value();
    for (const auto& [user, account] : queue.users) {
      EXPECT_TRUE(account.lanes.empty()) << name.value() << user.value();
    }
  }
  for (const auto& [name, worker] : cluster.workers()) {
    EXPECT_TRUE(worker.attempts.empty()) << name.value();
    EXPECT_TRUE(worker.holders.empty()) << name.value();
  }
}

}  // namespace trainyard::sim
