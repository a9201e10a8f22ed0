#include "server/adapters/stored.h"

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/adapters/stored.pb.h"

namespace trainyard::adapters {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

int64_t ToMicros(absl::Duration duration) {
  return duration == absl::InfiniteDuration()
             ? kForever
             : absl::ToInt64Microseconds(duration);
}

absl::Duration FromMicros(int64_t micros) {
  return micros == kForever ? absl::InfiniteDuration()
                            : absl::Microseconds(micros);
}

absl::Status Parse(absl::string_view bytes, const char* what,
                   google::protobuf::Message* message) {
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("the database holds ", bytes.size(),
                                          " bytes that are no ", what));
}

}  // namespace

std::string EncodeScheduling(const core::SchedulingSpec& scheduling) {
  stored::Scheduling message;
  if (scheduling.queue.value() != core::kDefaultQueue) {
    message.set_queue(scheduling.queue.value());
  }
  message.set_user(scheduling.user.value());
  message.set_priority(scheduling.priority);
  for (const core::DeviceRequest& request : scheduling.devices) {
    auto* device = message.add_devices();
    device->set_kind(static_cast<uint32_t>(request.kind));
    device->set_count(request.count);
    device->set_min_memory_bytes(request.min_memory_bytes);
  }
  for (const auto& [key, value] : scheduling.worker_labels) {
    (*message.mutable_worker_labels())[key] = value;
  }
  message.set_max_retries(scheduling.max_retries);
  message.set_backoff(ToMicros(scheduling.backoff));
  message.set_run_time_limit(ToMicros(scheduling.run_time_limit));
  message.set_queue_time_limit(ToMicros(scheduling.queue_time_limit));
  return message.SerializeAsString();
}

absl::StatusOr<core::SchedulingSpec> DecodeScheduling(absl::string_view bytes) {
  stored::Scheduling message;
  RETURN_IF_ERROR(Parse(bytes, "scheduling record", &message));
  core::SchedulingSpec scheduling;
  if (!message.queue().empty()) {
    scheduling.queue = core::QueueName(message.queue());
  }
  scheduling.user = core::UserName(message.user());
  scheduling.priority = message.priority();
  for (const auto& device : message.devices()) {
    scheduling.devices.push_back({static_cast<core::DeviceKind>(device.kind()),
                                  device.count(), device.min_memory_bytes()});
  }
  scheduling.worker_labels.insert(message.worker_labels().begin(),
                                  message.worker_labels().end());
  scheduling.max_retries = message.max_retries();
  scheduling.backoff = FromMicros(message.backoff());
  scheduling.run_time_limit = FromMicros(message.run_time_limit());
  scheduling.queue_time_limit = FromMicros(message.queue_time_limit());
  return scheduling;
}

std::string EncodeQueueSettings(const core::QueueSettings& settings) {
  stored::QueueSettings message;
  message.set_weight(settings.weight);
  message.set_state(static_cast<uint32_t>(settings.state));
  message.set_owner(settings.owner.value());
  for (const auto& [kind, count] : settings.quota.devices) {
    auto* devices = message.add_devices();
    devices->set_kind(static_cast<uint32_t>(kind));
    devices->set_count(count);
  }
  const core::Quota& quota = settings.quota;
  if (quota.running_jobs.has_value()) {
    message.set_running_jobs(*quota.running_jobs);
  }
  if (quota.device_hours.has_value()) {
    message.set_device_hours(*quota.device_hours);
  }
  return message.SerializeAsString();
}

absl::StatusOr<core::QueueSettings> DecodeQueueSettings(
    absl::string_view bytes) {
  stored::QueueSettings message;
  RETURN_IF_ERROR(Parse(bytes, "queue settings", &message));
  core::QueueSettings settings;
  settings.weight = message.weight();
  settings.state = static_cast<core::QueueState>(message.state());
  settings.owner = core::UserName(message.owner());
  for (const auto& devices : message.devices()) {
    settings.quota.devices[static_cast<core::DeviceKind>(devices.kind())] =
        devices.count();
  }
  if (message.has_running_jobs()) {
    settings.quota.running_jobs = message.running_jobs();
  }
  if (message.has_device_hours()) {
    settings.quota.device_hours = message.device_hours();
  }
  return settings;
}

std::string EncodePastUsages(const core::PastUsages& past) {
  stored::PastUsages message;
  for (core::DeviceKind kind : core::kDeviceKinds) {
    const core::PastUsage& usage = past[static_cast<size_t>(kind)];
    if (usage == core::PastUsage()) continue;
    auto* one = message.add_kinds();
    one->set_kind(static_cast<uint32_t>(kind));
    one->set_mean(usage.mean);
    one->set_device_seconds(usage.device_seconds);
    if (usage.time != absl::InfinitePast()) {
      one->set_time(absl::ToUnixMicros(usage.time));
    }
  }
  return message.SerializeAsString();
}

absl::StatusOr<core::PastUsages> DecodePastUsages(absl::string_view bytes) {
  stored::PastUsages message;
  RETURN_IF_ERROR(Parse(bytes, "past usage", &message));
  core::PastUsages past;
  for (const auto& one : message.kinds()) {
    if (one.kind() >= past.size()) continue;
    core::PastUsage& usage = past[one.kind()];
    usage.mean = one.mean();
    usage.device_seconds = one.device_seconds();
    if (one.has_time()) usage.time = absl::FromUnixMicros(one.time());
  }
  return past;
}

std::string EncodeLabels(const core::Labels& labels) {
  stored::Labels message;
  message.mutable_labels()->insert(labels.begin(), labels.end());
  return message.SerializeAsString();
}

absl::StatusOr<core::Labels> DecodeLabels(absl::string_view bytes) {
  stored::Labels message;
  RETURN_IF_ERROR(Parse(bytes, "labels", &message));
  return core::Labels(message.labels().begin(), message.labels().end());
}

std::string EncodeStrings(const std::vector<std::string>& values) {
  stored::Strings message;
  message.mutable_values()->Add(values.begin(), values.end());
  return message.SerializeAsString();
}

absl::StatusOr<std::vector<std::string>> DecodeStrings(
    absl::string_view bytes) {
  stored::Strings message;
  RETURN_IF_ERROR(Parse(bytes, "list of strings", &message));
  return std::vector<std::string>(message.values().begin(),
                                  message.values().end());
}

std::string EncodeFailure(const core::Failure& failure) {
  stored::Failure message;
  message.set_category(static_cast<uint32_t>(failure.category));
  message.set_message(failure.message);
  message.set_stderr_tail(failure.stderr_tail);
  message.set_exit_code(failure.exit_code);
  return message.SerializeAsString();
}

absl::StatusOr<core::Failure> DecodeFailure(absl::string_view bytes) {
  stored::Failure message;
  RETURN_IF_ERROR(Parse(bytes, "failure", &message));
  return core::Failure{static_cast<core::FailureCategory>(message.category()),
                       message.message(), message.stderr_tail(),
                       message.exit_code()};
}

std::string EncodeCheckpoint(const core::Checkpoint& checkpoint) {
  stored::Checkpoint message;
  message.set_step(checkpoint.step);
  message.set_artifact(checkpoint.artifact);
  message.set_size_bytes(checkpoint.size_bytes);
  return message.SerializeAsString();
}

absl::StatusOr<core::Checkpoint> DecodeCheckpoint(absl::string_view bytes) {
  stored::Checkpoint message;
  RETURN_IF_ERROR(Parse(bytes, "checkpoint", &message));
  return core::Checkpoint{message.step(), message.artifact(),
                          message.size_bytes()};
}

std::string EncodeOutputs(const std::vector<core::Output>& outputs) {
  stored::Outputs message;
  for (const core::Output& output : outputs) {
    auto* item = message.add_outputs();
    item->set_name(output.name);
    item->set_artifact(output.artifact);
    item->set_size_bytes(output.size_bytes);
  }
  return message.SerializeAsString();
}

absl::StatusOr<std::vector<core::Output>> DecodeOutputs(
    absl::string_view bytes) {
  stored::Outputs message;
  RETURN_IF_ERROR(Parse(bytes, "list of outputs", &message));
  std::vector<core::Output> outputs;
  for (const auto& item : message.outputs()) {
    outputs.push_back({item.name(), item.artifact(), item.size_bytes()});
  }
  return outputs;
}

}  // namespace trainyard::adapters
