#include "server/rpc/convert_queue.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr double kLeastWeight = 0.001;
constexpr double kMostWeight = 1e6;
constexpr uint64_t kMostDevices = 1'000'000;
constexpr double kMostHours = 1e12;
constexpr size_t kUsersShown = 100;

absl::StatusOr<core::QueueState> ToState(v1::Queue::State state) {
  switch (state) {
    case v1::Queue::STATE_UNSPECIFIED:
    case v1::Queue::STATE_OPEN:
      return core::QueueState::kOpen;
    case v1::Queue::STATE_DRAINING:
      return core::QueueState::kDraining;
    case v1::Queue::STATE_CLOSED:
      return core::QueueState::kClosed;
    default:
      return WrongValue("queue.state", absl::StrCat(static_cast<int>(state)),
                        "STATE_OPEN, STATE_DRAINING or STATE_CLOSED");
  }
}

v1::Queue::State ToProto(core::QueueState state) {
  switch (state) {
    case core::QueueState::kDraining:
      return v1::Queue::STATE_DRAINING;
    case core::QueueState::kClosed:
      return v1::Queue::STATE_CLOSED;
    default:
      return v1::Queue::STATE_OPEN;
  }
}

absl::StatusOr<core::Quota> ToQuota(const v1::Quota& proto) {
  RETURN_IF_ERROR(CheckKnown("queue.quota", proto));
  core::Quota quota;
  for (int i = 0; i < proto.devices_size(); ++i) {
    const v1::DeviceQuota& devices = proto.devices(i);
    const std::string path = absl::StrCat("queue.quota.devices[", i, "]");
    RETURN_IF_ERROR(CheckKnown(path, devices));
    ASSIGN_OR_RETURN(const core::DeviceKind kind,
                     FromProto(absl::StrCat(path, ".kind"), devices.kind()));
    RETURN_IF_ERROR(CheckWhole(absl::StrCat(path, ".count"), devices.count(), 0,
                               kMostDevices));
    if (!quota.devices.emplace(kind, devices.count()).second) {
      return BadField(path, "its kind is there twice: give each kind once");
    }
  }
  if (proto.has_running_jobs()) quota.running_jobs = proto.running_jobs();
  if (proto.has_device_hours()) {
    RETURN_IF_ERROR(CheckReal("queue.quota.device_hours", proto.device_hours(),
                              0, kMostHours));
    quota.device_hours = proto.device_hours();
  }
  return quota;
}

v1::Quota ToProto(const core::Quota& quota) {
  v1::Quota proto;
  for (const auto& [kind, count] : quota.devices) {
    v1::DeviceQuota* devices = proto.add_devices();
    devices->set_kind(rpc::ToProto(kind));
    devices->set_count(count);
  }
  if (quota.running_jobs) proto.set_running_jobs(*quota.running_jobs);
  if (quota.device_hours) proto.set_device_hours(*quota.device_hours);
  return proto;
}

v1::QueueUsage ToProto(const core::Cluster& cluster, const core::Usage& usage,
                       size_t live_jobs, absl::Time now) {
  v1::QueueUsage proto;
  proto.set_running_jobs(usage.attempts());
  proto.set_waiting_jobs(live_jobs - usage.attempts());
  for (core::DeviceKind kind : core::kDeviceKinds) {
    const double mean = usage.Mean(kind, now);
    if (usage.Held(kind) == 0 && mean < 0.001) continue;
    v1::HeldDevices* devices = proto.add_devices();
    devices->set_kind(rpc::ToProto(kind));
    devices->set_held(usage.Held(kind));
    devices->set_mean(mean);
  }
  proto.set_device_hours(usage.DeviceHours(now));
  proto.set_share(usage.Share(cluster.fleet().capacity(), now));
  return proto;
}

void AddUsers(const core::Cluster& cluster, const core::Queue& queue,
              absl::Time now, v1::Queue* proto) {
  std::vector<v1::UserUsage> users;
  for (const auto& [name, account] : queue.users) {
    size_t jobs = 0;
    for (const auto& [needs, lane] : account.lanes) jobs += lane.jobs;
    v1::UserUsage& user = users.emplace_back();
    user.set_user(name.value());
    *user.mutable_usage() = ToProto(cluster, account.usage, jobs, now);
  }
  std::stable_sort(users.begin(), users.end(),
                   [](const v1::UserUsage& a, const v1::UserUsage& b) {
                     return a.usage().share() > b.usage().share();
                   });
  if (users.size() > kUsersShown) users.resize(kUsersShown);
  for (v1::UserUsage& user : users) *proto->add_users() = std::move(user);
}

}  // namespace

absl::StatusOr<core::QueueSettings> ToSettings(const v1::Queue& queue) {
  RETURN_IF_ERROR(CheckKnown("queue", queue));
  core::QueueSettings settings;
  if (queue.has_weight()) {
    RETURN_IF_ERROR(
        CheckReal("queue.weight", queue.weight(), kLeastWeight, kMostWeight));
    settings.weight = queue.weight();
  }
  ASSIGN_OR_RETURN(settings.state, ToState(queue.state()));
  RETURN_IF_ERROR(CheckUser("queue.owner", queue.owner()));
  settings.owner = core::UserName(queue.owner());
  ASSIGN_OR_RETURN(settings.quota, ToQuota(queue.quota()));
  return settings;
}

v1::Queue ToProto(const core::Cluster& cluster, const core::Queue& queue,
                  absl::Time now, bool with_users) {
  v1::Queue proto;
  proto.set_name(QueueResourceName(queue.name));
  proto.set_weight(queue.settings.weight);
  proto.set_state(ToProto(queue.settings.state));
  proto.set_owner(queue.settings.owner.value());
  if (queue.settings.quota != core::Quota()) {
    *proto.mutable_quota() = ToProto(queue.settings.quota);
  }
  *proto.mutable_usage() = ToProto(cluster, queue.usage, queue.jobs, now);
  if (with_users) AddUsers(cluster, queue, now, &proto);
  return proto;
}

}  // namespace trainyard::rpc
