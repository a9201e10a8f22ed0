#include "workers/agent/convert.h"

#include <utility>

#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

// The bounds that job.proto states.
constexpr size_t kMaxMessageBytes = 4096;
constexpr size_t kMaxStderrBytes = 16 * 1024;

v1::AttemptStatus::Phase ToProto(Phase phase) {
  switch (phase) {
    case Phase::kPreparing:
      return v1::AttemptStatus::PHASE_PREPARING;
    case Phase::kRunning:
      return v1::AttemptStatus::PHASE_RUNNING;
    case Phase::kStopping:
      return v1::AttemptStatus::PHASE_STOPPING;
    case Phase::kEnded:
      return v1::AttemptStatus::PHASE_ENDED;
  }
  return v1::AttemptStatus::PHASE_UNSPECIFIED;
}

v1::Attempt::Outcome ToProto(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return v1::Attempt::OUTCOME_UNSPECIFIED;
    case Outcome::kSucceeded:
      return v1::Attempt::OUTCOME_SUCCEEDED;
    case Outcome::kFailed:
      return v1::Attempt::OUTCOME_FAILED;
    case Outcome::kCancelled:
      return v1::Attempt::OUTCOME_CANCELLED;
    case Outcome::kPreempted:
      return v1::Attempt::OUTCOME_PREEMPTED;
  }
  return v1::Attempt::OUTCOME_UNSPECIFIED;
}

v1::Failure::Category ToProto(FailureCategory category) {
  switch (category) {
    case FailureCategory::kUserError:
      return v1::Failure::CATEGORY_USER_ERROR;
    case FailureCategory::kOutOfMemory:
      return v1::Failure::CATEGORY_OUT_OF_MEMORY;
    case FailureCategory::kCrash:
      return v1::Failure::CATEGORY_CRASH;
    case FailureCategory::kInfrastructure:
      return v1::Failure::CATEGORY_INFRASTRUCTURE;
  }
  return v1::Failure::CATEGORY_UNSPECIFIED;
}

v1::DeviceKind ToProto(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return v1::DEVICE_KIND_CPU;
    case DeviceKind::kCuda:
      return v1::DEVICE_KIND_CUDA;
    case DeviceKind::kMps:
      return v1::DEVICE_KIND_MPS;
  }
  return v1::DEVICE_KIND_UNSPECIFIED;
}

// The end of it: the last lines tell most.
std::string BoundedTail(const std::string& text) {
  std::string valid = ToValidUtf8(text);
  if (valid.size() <= kMaxStderrBytes) return valid;
  size_t begin = valid.size() - kMaxStderrBytes;
  while (begin < valid.size() &&
         (static_cast<unsigned char>(valid[begin]) & 0xC0) == 0x80) {
    ++begin;
  }
  return valid.substr(begin);
}

}  // namespace

v1::AttemptKey ToProto(const AttemptKey& key) {
  v1::AttemptKey proto;
  proto.set_job(key.job);
  proto.set_attempt(key.attempt);
  return proto;
}

AttemptKey FromProto(const v1::AttemptKey& key) {
  return {.job = key.job(), .attempt = key.attempt()};
}

v1::AttemptStatus ToProto(const AttemptStatus& status) {
  v1::AttemptStatus proto;
  *proto.mutable_key() = ToProto(status.key);
  proto.set_phase(ToProto(status.phase));
  proto.set_outcome(ToProto(status.outcome));
  if (status.failure) {
    v1::Failure& failure = *proto.mutable_failure();
    failure.set_category(ToProto(status.failure->category));
    failure.set_message(BoundedUtf8(status.failure->message, kMaxMessageBytes));
    failure.set_stderr_tail(BoundedTail(status.failure->stderr_tail));
    failure.set_exit_code(status.failure->exit_code);
  }
  if (status.checkpoint) {
    v1::Checkpoint& checkpoint = *proto.mutable_checkpoint();
    checkpoint.set_step(status.checkpoint->step);
    checkpoint.set_artifact(status.checkpoint->artifact);
    checkpoint.set_size_bytes(status.checkpoint->size_bytes);
  }
  for (const Output& output : status.outputs) {
    v1::Output& added = *proto.add_outputs();
    added.set_name(output.name);
    added.set_artifact(output.artifact);
    added.set_size_bytes(output.size_bytes);
  }
  return proto;
}

v1::Device ToProto(const DeviceReport& report) {
  const DeviceInfo& device = report.info;
  const DeviceSample& sample = report.sample;
  v1::Device proto;
  proto.set_id(device.id);
  proto.set_kind(ToProto(device.kind));
  proto.set_model(ToValidUtf8(device.model));
  proto.set_memory_bytes(device.memory_bytes);
  proto.set_free_memory_bytes(device.free_memory_bytes);
  proto.set_cores(device.cores);
  if (sample.utilization) proto.set_utilization(*sample.utilization);
  if (sample.temperature_celsius) {
    proto.set_temperature_celsius(*sample.temperature_celsius);
  }
  if (sample.power_watts) proto.set_power_watts(*sample.power_watts);
  return proto;
}

v1::DeviceUsage ToProto(const std::string& id, const DeviceSample& sample) {
  v1::DeviceUsage proto;
  proto.set_id(id);
  if (sample.runner_memory_bytes) {
    proto.set_memory_bytes(*sample.runner_memory_bytes);
  }
  if (sample.utilization) proto.set_utilization(*sample.utilization);
  if (sample.temperature_celsius) {
    proto.set_temperature_celsius(*sample.temperature_celsius);
  }
  if (sample.power_watts) proto.set_power_watts(*sample.power_watts);
  return proto;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

std::vector<DesiredAttempt> FromProto(const v1::SynchronizeResponse& response) {
  std::vector<DesiredAttempt> attempts;
  for (const v1::DesiredAttempt& proto : response.attempts()) {
    DesiredAttempt attempt{.key = FromProto(proto.key())};
    switch (proto.action()) {
      case v1::DesiredAttempt::ACTION_RUN:
        attempt.action = Action::kRun;
        break;
      case v1::DesiredAttempt::ACTION_PREEMPT:
        attempt.action = Action::kPreempt;
        break;
      case v1::DesiredAttempt::ACTION_CANCEL:
        attempt.action = Action::kCancel;
        break;
      default:  // of a newer server: keep what runs, start nothing
        attempts.push_back(std::move(attempt));
        continue;
    }
    if (attempt.key.job == 0 || attempt.key.attempt == 0) continue;
    if (proto.has_spec()) attempt.spec = proto.spec().SerializeAsString();
    attempt.devices.assign(proto.devices().begin(), proto.devices().end());
    if (proto.has_checkpoint()) {
      attempt.checkpoint =
          Checkpoint{.step = proto.checkpoint().step(),
                     .artifact = proto.checkpoint().artifact(),
                     .size_bytes = proto.checkpoint().size_bytes()};
    }
    attempts.push_back(std::move(attempt));
  }
  return attempts;
}

}  // namespace trainyard::agent
