// What was committed, counted anew from the records alone and as plainly as
// possible: jobs, their attempts, queues. Checks at each placement that it was
// allowed, as gtest failures.
//
//   Ledger ledger(half_life);
//   ledger.Apply(store.TakeCommitted());
//   ledger.HeldBy(queue, kind)
//
// Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::sim {

class Ledger {
 public:
  struct Attempt {
    core::WorkerName worker;
    core::DeviceKind kind = core::DeviceKind::kCpu;
    std::vector<std::string> devices;
    absl::Time placed;
    std::optional<absl::Time> ended = {};
    core::Outcome outcome = core::Outcome::kNone;
  };
  struct Entry {
    core::SchedulingSpec scheduling;
    absl::Time submitted;
    absl::Time queued_since;  // as of the newest return to the queue
    absl::Time not_before = absl::InfinitePast();
    bool over = false;
    std::vector<Attempt> attempts = {};

    bool IsLive() const {
      return !attempts.empty() && !attempts.back().ended.has_value();
    }
    // Whether it may be placed at `now`, as far as it goes by itself.
    bool IsWaiting(absl::Time now) const {
      return !over && !IsLive() && not_before <= now;
    }
  };

  explicit Ledger(absl::Duration half_life);

  void Apply(const std::vector<core::Record>& records);

  const std::map<core::JobId, Entry>& jobs() const { return jobs_; }
  const std::map<core::QueueName, core::QueueSettings>& queues() const {
    return queues_;
  }
  // Devices of live attempts.
  uint32_t HeldBy(const core::QueueName& queue, core::DeviceKind kind) const;
  uint32_t LiveAttemptsOf(const core::QueueName& queue) const;
  // Devices times hours since the queue was made or its hours were reset.
  double DeviceHours(const core::QueueName& queue, absl::Time now) const;
  // Devices held on average, weighted by 2^(-age / half-life). Of all users:
  // nullopt.
  double Mean(const core::QueueName& queue,
              const std::optional<core::UserName>& user, core::DeviceKind kind,
              absl::Time now) const;
  // Whether the queue's state and quota let it place this now, give or take
  // that many device-hours.
  bool Allows(const core::QueueName& queue, const core::DeviceRequest& request,
              absl::Time now, double rounding) const;

 private:
  void Place(core::JobId id, const core::AttemptPlaced& placed, absl::Time now);
  // Of two jobs that differ in nothing else, none overtakes one that is older
  // and no less urgent.
  void CheckOvertakesNone(core::JobId id, absl::Time now) const;

  absl::Duration half_life_;
  std::map<core::JobId, Entry> jobs_;
  std::map<core::QueueName, core::QueueSettings> queues_;
  // When a queue's hours were last reset, and from which job on it counts.
  std::map<core::QueueName, absl::Time> reset_;
  std::map<core::QueueName, core::JobId> made_after_;
  std::set<core::WorkerName> drained_;
  std::set<core::JobId> room_made_for_;  // others were preempted
};

}  // namespace trainyard::sim
