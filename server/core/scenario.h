// A cluster to play with, for tests: decides, applies and places as the engine
// does, without a store.
//
//   Scenario s;
//   s.Report("mac", {Mps()});
//   JobId job = s.Submit(OneOf(DeviceKind::kMps));
//   EXPECT_EQ(s.StateOf(job), JobState::kStarting);
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/decide.h"
#include "server/core/desired.h"
#include "server/core/placement.h"

namespace trainyard::core {

inline Device MakeDevice(std::string id, DeviceKind kind,
                         uint64_t memory = 16) {
  Device device;
  device.id = std::move(id);
  device.kind = kind;
  device.memory_bytes = memory;
  device.free_memory_bytes = memory;
  return device;
}
inline Device Cpu() { return MakeDevice("cpu", DeviceKind::kCpu); }
inline Device Mps() { return MakeDevice("mps", DeviceKind::kMps); }
inline Device Cuda(int n, uint64_t memory = 16) {
  return MakeDevice(absl::StrCat("cuda:", n), DeviceKind::kCuda, memory);
}

// One device of a kind.
inline SchedulingSpec OneOf(DeviceKind kind) {
  SchedulingSpec spec;
  spec.devices = {{kind, 1, 0}};
  return spec;
}

inline AttemptStatus Is(AttemptKey key, Phase phase) {
  AttemptStatus status;
  status.key = key;
  status.phase = phase;
  return status;
}
inline AttemptStatus Ended(AttemptKey key, Outcome outcome) {
  AttemptStatus status = Is(key, Phase::kEnded);
  status.outcome = outcome;
  return status;
}
inline AttemptStatus Failed(AttemptKey key, FailureCategory category) {
  AttemptStatus status = Ended(key, Outcome::kFailed);
  status.failure.emplace().category = category;
  status.failure->message = "boom";
  return status;
}

class Scenario {
 public:
  Policy policy;
  History history;
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  Cluster cluster;
  std::vector<Record> records;  // of the last Do()

  explicit Scenario(const OrderPolicy& order = {}) : cluster(order) {
    policy.order = order;
  }

  Reply Do(const Command& command) {
    Decision decision = Decide(cluster, policy, now, command, history);
    records = std::move(decision.records);
    for (const Record& record : records) Apply(record);
    cluster.AdvanceTo(now);
    PlacementPass pass(&cluster, now);
    while (std::optional<Record> record = pass.Next()) {
      Apply(*record);
      records.push_back(*std::move(record));
    }
    while (true) {
      std::vector<Record> more = Preempt(cluster, policy.preemption, now);
      if (more.empty()) break;
      for (Record& record : more) {
        Apply(record);
        records.push_back(std::move(record));
      }
    }
    return decision.reply;
  }

  void Wait(absl::Duration duration) {
    now += duration;
    Do(Tick{});
  }

  JobId Submit(const SchedulingSpec& scheduling, std::string request = "") {
    Submission submission;
    submission.request_id = std::move(request);
    submission.scheduling = scheduling;
    const Reply reply = Do(SubmitJobs{{submission}});
    EXPECT_TRUE(reply.submits[0].status.ok()) << reply.submits[0].status;
    return reply.submits[0].job;
  }

  WorkerReport& ReportOf(const std::string& name) {
    for (WorkerReport& report : reports_) {
      if (report.worker.value() == name) return report;
    }
    WorkerReport report;
    report.worker = WorkerName(name);
    report.instance = name + "-1";
    return reports_.emplace_back(report);
  }
  // The worker appears with these devices.
  void Report(const std::string& name, std::vector<Device> devices) {
    ReportOf(name).devices = std::move(devices);
    EXPECT_TRUE(Send(name).ok());
  }
  // It says what ReportOf() holds, and these attempts.
  absl::Status Send(const std::string& name,
                    std::vector<AttemptStatus> attempts = {}) {
    WorkerReport report = ReportOf(name);
    report.attempts = std::move(attempts);
    return Do(ReportWorker{report}).status;
  }

  // nullopt once it is not live.
  std::optional<JobState> StateOf(JobId job) const {
    const Job* found = cluster.FindJob(job);
    return found == nullptr ? std::nullopt : std::optional(found->state);
  }
  AttemptKey KeyOf(JobId job) const {
    return cluster.FindJob(job)->attempt_key();
  }
  std::string WorkerOf(JobId job) const {
    const Job* found = cluster.FindJob(job);
    return found == nullptr || found->attempt == nullptr
               ? ""
               : found->attempt->worker.value();
  }
  std::vector<std::string> DevicesOf(JobId job) const {
    return cluster.FindJob(job)->attempt->devices;
  }
  Desired DesiredOf(const std::string& worker) const {
    return DeriveDesired(cluster, WorkerName(worker));
  }
  // The only action desired of the worker; none: nullopt.
  std::optional<Action> ActionOf(const std::string& worker) const {
    const Desired desired = DesiredOf(worker);
    return desired.attempts.empty() ? std::nullopt
                                    : std::optional(desired.attempts[0].action);
  }
  // The first change of a type in the last Do().
  template <typename Change>
  const Change* Find() const {
    for (const Record& record : records) {
      if (const auto* change = std::get_if<Change>(&record.change)) {
        return change;
      }
    }
    return nullptr;
  }

 private:
  void Apply(const Record& record) {
    const absl::Status status = cluster.Apply(record);
    ASSERT_TRUE(status.ok()) << status;
  }

  std::vector<WorkerReport> reports_;
};

}  // namespace trainyard::core
