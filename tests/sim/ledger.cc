#include "tests/sim/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <variant>

#include "server/core/retry.h"

namespace trainyard::sim {

using core::DeviceKind;
using core::JobId;
using core::QueueName;

Ledger::Ledger(absl::Duration half_life) : half_life_(half_life) {
  queues_[QueueName(core::kDefaultQueue)] = {};
}

void Ledger::Apply(const std::vector<core::Record>& records) {
  for (const core::Record& record : records) {
    const core::Change& change = record.change;
    const absl::Time now = record.time;
    if (const auto* job = std::get_if<core::JobSubmitted>(&change)) {
      EXPECT_TRUE(queues_.contains(job->scheduling.queue) &&
                  queues_[job->scheduling.queue].state ==
                      core::QueueState::kOpen)
          << "jobs/" << record.job.value() << " was taken by a closed queue";
      jobs_[record.job] = {job->scheduling, now, now};
    } else if (const auto* placed = std::get_if<core::AttemptPlaced>(&change)) {
      Place(record.job, *placed, now);
    } else if (const auto* told =
                   std::get_if<core::AttemptPreempted>(&change)) {
      room_made_for_.insert(told->preemption.by);
    } else if (const auto* ended = std::get_if<core::AttemptEnded>(&change)) {
      Attempt& attempt = jobs_.at(record.job).attempts.back();
      attempt.ended = now;
      attempt.outcome = ended->outcome;
    } else if (const auto* back = std::get_if<core::JobRequeued>(&change)) {
      Entry& job = jobs_.at(record.job);
      job.not_before = back->not_before;
      job.queued_since = std::max(now, back->not_before);
    } else if (std::holds_alternative<core::JobEnded>(change)) {
      jobs_.at(record.job).over = true;
    } else if (const auto* set = std::get_if<core::QueueSet>(&change)) {
      queues_[set->queue] = set->settings;
    } else if (const auto* gone = std::get_if<core::QueueDeleted>(&change)) {
      queues_.erase(gone->queue);
      reset_.erase(gone->queue);
      if (!jobs_.empty()) made_after_[gone->queue] = jobs_.rbegin()->first;
    } else if (const auto* reset =
                   std::get_if<core::QueueHoursReset>(&change)) {
      reset_[reset->queue] = now;
    } else if (const auto* drain = std::get_if<core::WorkerDrainSet>(&change)) {
      if (drain->draining) {
        drained_.insert(drain->worker);
      } else {
        drained_.erase(drain->worker);
      }
    }
  }
}

void Ledger::Place(JobId id, const core::AttemptPlaced& placed,
                   absl::Time now) {
  Entry& job = jobs_.at(id);
  const QueueName& queue = job.scheduling.queue;
  SCOPED_TRACE(::testing::Message()
               << "jobs/" << id.value() << " attempt " << placed.attempt
               << " in queues/" << queue.value());
  EXPECT_FALSE(job.over) << "it is over";
  EXPECT_FALSE(job.IsLive()) << "two live attempts";
  EXPECT_LE(job.not_before, now) << "placed in its backoff";
  if (!job.attempts.empty() &&
      job.attempts.back().outcome == core::Outcome::kFailed) {
    EXPECT_GE(
        now - *job.attempts.back().ended,
        (1 - core::kJitter) * job.scheduling.backoff - absl::Milliseconds(1))
        << "retried without a pause";
  }
  const auto& requests = job.scheduling.devices;
  EXPECT_TRUE(std::any_of(requests.begin(), requests.end(), [&](const auto& r) {
    return r.kind == placed.kind && r.count == placed.devices.size();
  })) << "not what it asked for";
  EXPECT_TRUE(Allows(
      queue, {placed.kind, static_cast<uint32_t>(placed.devices.size()), 0},
      now, 1e-6))
      << "its queue is closed or has used up its quota";
  EXPECT_FALSE(drained_.contains(placed.worker)) << "the worker is drained";
  for (const auto& [other, entry] : jobs_) {
    if (!entry.IsLive() || entry.attempts.back().worker != placed.worker) {
      continue;
    }
    for (const std::string& device : entry.attempts.back().devices) {
      EXPECT_EQ(
          std::count(placed.devices.begin(), placed.devices.end(), device), 0)
          << device << " is held by jobs/" << other.value();
    }
  }
  // Who has others stopped for it comes first.
  if (room_made_for_.erase(id) == 0) CheckOvertakesNone(id, now);
  job.attempts.push_back({placed.worker, placed.kind, placed.devices, now});
}

void Ledger::CheckOvertakesNone(JobId id, absl::Time now) const {
  const core::SchedulingSpec& mine = jobs_.at(id).scheduling;
  for (const auto& [other, entry] : jobs_) {
    if (other >= id) break;
    const core::SchedulingSpec& theirs = entry.scheduling;
    if (!entry.IsWaiting(now) || theirs.priority < mine.priority ||
        theirs.queue != mine.queue || theirs.user != mine.user ||
        theirs.devices != mine.devices ||
        theirs.run_time_limit != mine.run_time_limit) {
      continue;
    }
    ADD_FAILURE() << "it overtook jobs/" << other.value();
  }
}

uint32_t Ledger::HeldBy(const QueueName& queue, DeviceKind kind) const {
  uint32_t held = 0;
  for (const auto& [id, job] : jobs_) {
    if (job.scheduling.queue != queue || !job.IsLive()) continue;
    const Attempt& attempt = job.attempts.back();
    if (attempt.kind == kind) {
      held += static_cast<uint32_t>(attempt.devices.size());
    }
  }
  return held;
}

uint32_t Ledger::LiveAttemptsOf(const QueueName& queue) const {
  return static_cast<uint32_t>(
      std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& job) {
        return job.second.scheduling.queue == queue && job.second.IsLive();
      }));
}

double Ledger::DeviceHours(const QueueName& queue, absl::Time now) const {
  const auto made = made_after_.find(queue);
  const auto reset = reset_.find(queue);
  const absl::Time from =
      reset == reset_.end() ? absl::InfinitePast() : reset->second;
  double hours = 0;
  for (const auto& [id, job] : jobs_) {
    if (job.scheduling.queue != queue ||
        (made != made_after_.end() && id <= made->second)) {
      continue;
    }
    for (const Attempt& attempt : job.attempts) {
      const absl::Time begin = std::max(attempt.placed, from);
      const absl::Time end = std::max(attempt.ended.value_or(now), begin);
      hours += absl::ToDoubleHours(end - begin) *
               static_cast<double>(attempt.devices.size());
    }
  }
  return hours;
}

double Ledger::Mean(const QueueName& queue,
                    const std::optional<core::UserName>& user, DeviceKind kind,
                    absl::Time now) const {
  const auto made = made_after_.find(queue);
  double mean = 0;
  for (const auto& [id, job] : jobs_) {
    if (job.scheduling.queue != queue ||
        (user.has_value() && job.scheduling.user != *user) ||
        (made != made_after_.end() && id <= made->second)) {
      continue;
    }
    for (const Attempt& attempt : job.attempts) {
      if (attempt.kind != kind) continue;
      const absl::Duration since = now - attempt.ended.value_or(now);
      mean +=
          static_cast<double>(attempt.devices.size()) *
          (std::exp2(-absl::FDivDuration(since, half_life_)) -
           std::exp2(-absl::FDivDuration(now - attempt.placed, half_life_)));
    }
  }
  return mean;
}

bool Ledger::Allows(const QueueName& queue, const core::DeviceRequest& request,
                    absl::Time now, double rounding) const {
  const auto it = queues_.find(queue);
  if (it == queues_.end()) return false;
  const core::Quota& quota = it->second.quota;
  if (it->second.state == core::QueueState::kClosed) return false;
  if (quota.running_jobs.has_value() &&
      LiveAttemptsOf(queue) + 1 > *quota.running_jobs) {
    return false;
  }
  if (quota.device_hours.has_value() &&
      DeviceHours(queue, now) >= *quota.device_hours + rounding) {
    return false;
  }
  const auto devices = quota.devices.find(request.kind);
  return devices == quota.devices.end() ||
         HeldBy(queue, request.kind) + request.count <= devices->second;
}

}  // namespace trainyard::sim
