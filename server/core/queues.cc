#include "server/core/queues.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace trainyard::core {
namespace {

uint8_t RunTimeExponent(absl::Duration limit) {
  if (limit == absl::InfiniteDuration()) return Needs::kNoRunTimeLimit;
  const double seconds = std::max(absl::ToDoubleSeconds(limit), 1.0);
  return static_cast<uint8_t>(std::ceil(std::log2(seconds)));
}

// The same text for the same needs, different texts for different ones: every
// free text carries its length.
std::string NeedsKey(const Needs& needs) {
  std::string key = absl::StrCat(needs.run_time_exponent, ";");
  for (const DeviceRequest& device : needs.devices) {
    absl::StrAppend(&key, static_cast<int>(device.kind), ",", device.count, ",",
                    device.min_memory_bytes, ";");
  }
  for (const auto& [name, value] : needs.worker_labels) {
    absl::StrAppend(&key, name.size(), ":", name, value.size(), ":", value);
  }
  return key;
}

}  // namespace

Queues::Queues(const OrderPolicy& policy) : policy_(policy) {
  policy_.ageing = std::clamp(policy.ageing, absl::Microseconds(1), kNeverAges);
  Set(QueueName(kDefaultQueue), QueueSettings());
}

const Queue* Queues::Find(const QueueName& name) const {
  const auto it = queues_.find(name);
  return it == queues_.end() ? nullptr : &it->second;
}

void Queues::Set(const QueueName& name, const QueueSettings& settings) {
  const auto it =
      queues_.try_emplace(name, Queue{.usage = Usage(policy_.half_life)}).first;
  it->second.name = name;
  it->second.settings = settings;
}

void Queues::Erase(const QueueName& name) { queues_.erase(name); }

void Queues::ResetHours(const QueueName& name, absl::Time now) {
  const auto it = queues_.find(name);
  if (it != queues_.end()) it->second.usage.ResetHours(now);
}

UserAccount& Queues::FindOrMakeUser(Queue& queue, const UserName& name,
                                    absl::Time now) {
  const auto found = queue.users.find(name);
  if (found != queue.users.end()) return found->second;
  ForgetPastUsers(queue, now);
  UserAccount& user =
      queue.users
          .try_emplace(name, UserAccount{.usage = Usage(policy_.half_life)})
          .first->second;
  user.name = name;
  user.queue = &queue;
  return user;
}

// Half of those without jobs go at once, so that it is seldom done.
void Queues::ForgetPastUsers(Queue& queue, absl::Time now) {
  if (queue.users.size() < kMaxPastUsers) return;
  std::vector<std::pair<double, UserName>> past;
  for (const auto& [name, user] : queue.users) {
    if (!user.lanes.empty()) continue;
    double mean = 0;
    for (DeviceKind kind : kDeviceKinds) mean += user.usage.Mean(kind, now);
    past.emplace_back(mean, name);
  }
  if (past.size() < kMaxPastUsers) return;
  std::sort(past.begin(), past.end());
  past.resize(past.size() / 2);
  for (const auto& [mean, name] : past) queue.users.erase(name);
}

Lane* Queues::Join(const SchedulingSpec& scheduling, absl::Time now) {
  if (Find(scheduling.queue) == nullptr) Set(scheduling.queue, {});
  Queue& queue = queues_.at(scheduling.queue);
  UserAccount& user = FindOrMakeUser(queue, scheduling.user, now);
  Needs needs{.devices = scheduling.devices,
              .worker_labels = scheduling.worker_labels,
              .run_time_exponent = RunTimeExponent(scheduling.run_time_limit)};
  SharedNeeds& shared = needs_[NeedsKey(needs)];
  if (shared.lanes == 0) shared.needs = std::move(needs);
  auto [it, inserted] = user.lanes.try_emplace(&shared.needs);
  Lane& lane = it->second;
  if (inserted) {
    lane.user = &user;
    lane.needs = &shared.needs;
    ++shared.lanes;
  }
  ++lane.jobs;
  ++queue.jobs;
  return &lane;
}

void Queues::Leave(Lane* lane, absl::Time now) {
  UserAccount& user = *lane->user;
  --user.queue->jobs;
  if (--lane->jobs > 0) return;
  const Needs* needs = lane->needs;
  user.lanes.erase(needs);
  UnshareNeeds(needs);
  if (user.lanes.empty() && user.usage.IsNegligible(now)) {
    user.queue->users.erase(UserName(user.name));
  }
}

void Queues::UnshareNeeds(const Needs* needs) {
  const auto it = needs_.find(NeedsKey(*needs));
  if (--it->second.lanes == 0) needs_.erase(it);
}

void Queues::Wait(const Job& job, absl::Time now) {
  if (job.not_before > now) {
    delayed_.insert({job.not_before, job.id});
    return;
  }
  job.lane->waiting.insert(job.queue_key(policy_.ageing));
  ++job.lane->priorities[job.priority];
}

void Queues::Remove(const Job& job) {
  if (job.lane->waiting.erase(job.queue_key(policy_.ageing)) == 0) {
    delayed_.erase({job.not_before, job.id});
    return;
  }
  const auto it = job.lane->priorities.find(job.priority);
  if (--it->second == 0) job.lane->priorities.erase(it);
}

JobId Queues::TakeDue(absl::Time now) {
  if (delayed_.empty() || delayed_.begin()->first > now) return JobId();
  const JobId job = delayed_.begin()->second;
  delayed_.erase(delayed_.begin());
  return job;
}

bool Queues::WaitsForMemory(DeviceKind kind, uint64_t from, uint64_t to) const {
  return std::any_of(needs_.begin(), needs_.end(), [&](const auto& shared) {
    const std::vector<DeviceRequest>& requests = shared.second.needs.devices;
    return std::any_of(
        requests.begin(), requests.end(), [&](const DeviceRequest& request) {
          return request.kind == kind && request.min_memory_bytes > from &&
                 request.min_memory_bytes <= to;
        });
  });
}

void Queues::Hold(const Job& job) {
  const LiveAttempt& attempt = *job.attempt;
  const uint32_t devices = static_cast<uint32_t>(attempt.devices.size());
  UserAccount& user = *job.lane->user;
  user.usage.Hold(attempt.kind, devices, attempt.place_time);
  user.queue->usage.Hold(attempt.kind, devices, attempt.place_time);
}

void Queues::Release(const Job& job, absl::Time now) {
  const LiveAttempt& attempt = *job.attempt;
  const uint32_t devices = static_cast<uint32_t>(attempt.devices.size());
  UserAccount& user = *job.lane->user;
  user.usage.Release(attempt.kind, devices, attempt.place_time, now);
  user.queue->usage.Release(attempt.kind, devices, attempt.place_time, now);
}

PastUsages Queues::PastOf(const QueueName& name,
                          const std::optional<UserName>& user) const {
  PastUsages past;
  const Queue* queue = Find(name);
  if (queue == nullptr) return past;
  const Usage* usage = &queue->usage;
  if (user.has_value()) {
    const auto it = queue->users.find(*user);
    if (it == queue->users.end()) return past;
    usage = &it->second.usage;
  }
  for (DeviceKind kind : kDeviceKinds) {
    past[static_cast<size_t>(kind)] = usage->past(kind);
  }
  return past;
}

void Queues::RestorePast(const AccountPast& account, absl::Time now) {
  if (Find(account.queue) == nullptr) return;  // removed since
  Queue& queue = queues_.at(account.queue);
  Usage& usage = account.user.has_value()
                     ? FindOrMakeUser(queue, *account.user, now).usage
                     : queue.usage;
  for (DeviceKind kind : kDeviceKinds) {
    usage.Restore(kind, account.past[static_cast<size_t>(kind)]);
  }
}

}  // namespace trainyard::core
