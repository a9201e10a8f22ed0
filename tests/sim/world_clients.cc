// The people of World: those who submit and cancel, and the operator.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace trainyard::sim {

using core::DeviceKind;
using core::QueueName;
using core::QueueSettings;
using core::QueueState;

namespace {

constexpr const char* kQueues[] = {core::kDefaultQueue, "large", "small"};
constexpr double kWeights[] = {1, 3, 0.5};
constexpr const char* kUsers[] = {"ada", "bob", ""};
constexpr char kFlood[] = "flood";

}  // namespace

QueueSettings World::RandomSettings() {
  QueueSettings settings;
  settings.weight = kWeights[Pick(3)];
  const QueueState states[] = {QueueState::kOpen, QueueState::kOpen,
                               QueueState::kOpen, QueueState::kDraining,
                               QueueState::kClosed};
  settings.state = states[Pick(5)];
  for (DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    if (Chance(0.3)) settings.quota.devices[kind] = Pick(4);
  }
  if (Chance(0.3)) settings.quota.running_jobs = Pick(4);
  if (Chance(0.3)) settings.quota.device_hours = Pick(30) / 3600.0;
  return settings;
}

core::SchedulingSpec World::RandomJob() {
  core::SchedulingSpec spec;
  spec.queue = QueueName(kQueues[Pick(3)]);
  spec.user = core::UserName(kUsers[Pick(3)]);
  const uint32_t cards = Chance(wide_jobs_) ? 2 + Pick(cards_ - 1) : 1;
  spec.devices = {{DeviceKind::kCuda, cards, 16}};
  if (Chance(0.6)) spec.devices.push_back({DeviceKind::kCpu, 1, 0});
  spec.priority = Pick(kTopPriority + 1);
  spec.max_retries = Pick(kMaxRetries + 1);
  spec.backoff = absl::Milliseconds(Pick(1000));
  spec.run_time_limit = absl::Seconds(2 + Pick(3));
  return spec;
}

void World::ActClients() {
  if (clients_jobs_ < kJobs && Chance(0.2)) {
    const std::string request_id = absl::StrCat("r", clients_jobs_++);
    submitted_[request_id].scheduling = RandomJob();
    unacknowledged_.insert(request_id);
    Submit(request_id);
    if (Chance(0.1)) Submit(request_id);  // an impatient client
  }
  for (const std::string& request_id : unacknowledged_) {
    if (Chance(0.05)) Submit(request_id);
  }
  if (faults_ && !submitted_.empty() && Chance(0.02)) {
    auto it = submitted_.begin();
    std::advance(it, Pick(static_cast<int>(submitted_.size())));
    if (it->second.job.has_value()) {
      Caller caller;
      caller.cancel = it->first;
      Post(core::CancelJob{*it->second.job, "sim"}, caller);
    }
    if (Chance(0.5)) Submit(it->first);  // late, maybe after the job's end
  }
}

void World::Flood() {
  size_t waiting = 0;
  for (const auto& [id, job] : ledger_.jobs()) {
    if (job.scheduling.queue == QueueName(kFlood) && job.IsWaiting(now_)) {
      ++waiting;
    }
  }
  for (; waiting < 10; ++waiting) {
    const std::string request_id = absl::StrCat("f", flood_jobs_++);
    core::SchedulingSpec& spec = submitted_[request_id].scheduling;
    spec.queue = QueueName(kFlood);
    spec.user = core::UserName(kFlood);
    spec.devices = {{Chance(0.3) ? DeviceKind::kCpu : DeviceKind::kCuda, 1, 0}};
    spec.priority = kTopPriority;
    spec.max_retries = 0;
    spec.run_time_limit = absl::Seconds(2);
    unacknowledged_.insert(request_id);
    Submit(request_id);
  }
}

void World::Submit(const std::string& request_id) {
  core::Submission submission;
  submission.request_id = request_id;
  submission.scheduling = submitted_[request_id].scheduling;
  Caller caller;
  caller.request_id = request_id;
  Post(core::SubmitJobs{{std::move(submission)}}, caller);
}

void World::ActOperator() {
  if (!faults_) {
    CalmDown();
    return;
  }
  const QueueName queue(kQueues[Pick(3)]);
  if (Chance(0.02)) Post(core::SetQueue{queue, RandomSettings()}, {});
  if (Chance(0.01)) Post(core::ResetQueueHours{queue}, {});
  if (Chance(0.003)) Post(core::DeleteQueue{queue}, {});
}

void World::CalmDown() {
  for (const auto& [name, worker] : loop_->cluster().workers()) {
    if (worker.draining) Post(core::DrainWorker{name, false}, {});
  }
  for (const char* name : {kQueues[0], kQueues[1], kQueues[2], kFlood}) {
    const core::Queue* queue = loop_->cluster().queues().Find(QueueName(name));
    if (queue != nullptr && queue->settings.quota == core::Quota() &&
        queue->settings.state == QueueState::kOpen &&
        queue->settings.weight >= 1) {
      continue;
    }
    Post(core::SetQueue{QueueName(name), QueueSettings()}, {});
  }
}

}  // namespace trainyard::sim
