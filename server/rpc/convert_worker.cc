#include "server/rpc/convert_worker.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

// The bounds that worker_service.proto states, and sane ones where it has none.
constexpr size_t kMaxDevices = 256;
constexpr size_t kMaxAttempts = 1024;
constexpr size_t kMaxOutputs = 1000;
constexpr size_t kMaxTextBytes = 256;  // versions, models, ids of devices
constexpr size_t kMaxInstanceBytes = 64;

absl::Status CheckText(absl::string_view field, const std::string& text) {
  if (text.size() <= kMaxTextBytes && !HasControlCharacters(text)) {
    return absl::OkStatus();
  }
  return WrongValue(field, Quoted(text),
                    "at most 256 bytes, none of them a control character");
}

absl::StatusOr<core::Device> ToDevice(const std::string& field,
                                      const v1::Device& device) {
  if (device.id().empty() || device.id().size() > kMaxTextBytes ||
      !IsPrintableAscii(device.id(), /*spaces=*/false)) {
    return WrongValue(absl::StrCat(field, ".id"), Quoted(device.id()),
                      "1 to 256 printable ASCII characters without spaces");
  }
  const auto kind = FromProto(absl::StrCat(field, ".kind"), device.kind());
  RETURN_IF_ERROR(kind.status());
  RETURN_IF_ERROR(CheckText(absl::StrCat(field, ".model"), device.model()));
  return core::Device{
      .id = device.id(),
      .kind = *kind,
      .model = device.model(),
      .memory_bytes = device.memory_bytes(),
      // Two readings of a moving figure: the whole is the bound.
      .free_memory_bytes =
          std::min(device.free_memory_bytes(), device.memory_bytes()),
      .cores = device.cores()};
}

absl::StatusOr<core::Phase> ToPhase(const std::string& field,
                                    v1::AttemptStatus::Phase phase) {
  switch (phase) {
    case v1::AttemptStatus::PHASE_PREPARING:
      return core::Phase::kPreparing;
    case v1::AttemptStatus::PHASE_RUNNING:
      return core::Phase::kRunning;
    case v1::AttemptStatus::PHASE_STOPPING:
      return core::Phase::kStopping;
    case v1::AttemptStatus::PHASE_ENDED:
      return core::Phase::kEnded;
    default:
      return WrongValue(field, absl::StrCat(static_cast<int>(phase)),
                        "one of preparing, running, stopping, ended");
  }
}

absl::StatusOr<core::Outcome> ToOutcome(const std::string& field,
                                        v1::Attempt::Outcome outcome) {
  switch (outcome) {
    case v1::Attempt::OUTCOME_UNSPECIFIED:
      return core::Outcome::kNone;
    case v1::Attempt::OUTCOME_SUCCEEDED:
      return core::Outcome::kSucceeded;
    case v1::Attempt::OUTCOME_FAILED:
      return core::Outcome::kFailed;
    case v1::Attempt::OUTCOME_CANCELLED:
      return core::Outcome::kCancelled;
    case v1::Attempt::OUTCOME_PREEMPTED:
      return core::Outcome::kPreempted;
    default:  // LOST is the server's to say
      return WrongValue(field, absl::StrCat(static_cast<int>(outcome)),
                        "one of succeeded, failed, cancelled, preempted");
  }
}

// Phase, outcome, failure and outputs say the same.
absl::Status CheckAgreement(const std::string& field,
                            const v1::AttemptStatus& status) {
  const bool ended = status.phase() == v1::AttemptStatus::PHASE_ENDED;
  const bool has_outcome = status.outcome() != v1::Attempt::OUTCOME_UNSPECIFIED;
  if (ended != has_outcome) {
    return BadField(absl::StrCat(field, ".outcome"),
                    ended ? "not set: an ended attempt has one"
                          : "set: an attempt that has not ended has none");
  }
  if (status.has_failure() && status.outcome() != v1::Attempt::OUTCOME_FAILED) {
    return BadField(absl::StrCat(field, ".failure"),
                    "set: only a failed attempt has one");
  }
  if (!status.outputs().empty() &&
      status.outcome() != v1::Attempt::OUTCOME_SUCCEEDED) {
    return BadField(absl::StrCat(field, ".outputs"),
                    "set: only an attempt that succeeded has them");
  }
  return CheckCount(absl::StrCat(field, ".outputs"),
                    static_cast<size_t>(status.outputs_size()), kMaxOutputs);
}

absl::StatusOr<core::AttemptStatus> ToStatus(const std::string& field,
                                             const v1::AttemptStatus& proto) {
  RETURN_IF_ERROR(CheckAgreement(field, proto));
  core::AttemptStatus status;
  ASSIGN_OR_RETURN(status.key,
                   FromProto(absl::StrCat(field, ".key"), proto.key()));
  ASSIGN_OR_RETURN(status.phase,
                   ToPhase(absl::StrCat(field, ".phase"), proto.phase()));
  ASSIGN_OR_RETURN(status.outcome,
                   ToOutcome(absl::StrCat(field, ".outcome"), proto.outcome()));
  if (status.outcome == core::Outcome::kFailed) {
    status.failure = FromProto(proto.failure());
    if (status.failure->message.empty()) {
      status.failure->message = "the worker gave no cause";
    }
  }
  if (proto.has_checkpoint()) {
    ASSIGN_OR_RETURN(
        status.checkpoint,
        FromProto(absl::StrCat(field, ".checkpoint"), proto.checkpoint()));
  }
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < proto.outputs_size(); ++i) {
    const std::string path = absl::StrCat(field, ".outputs[", i, "]");
    ASSIGN_OR_RETURN(core::Output output, FromProto(path, proto.outputs(i)));
    if (!names.insert(output.name).second) {
      return BadField(absl::StrCat(path, ".name"),
                      absl::StrCat(Quoted(output.name), " appears twice"));
    }
    status.outputs.push_back(std::move(output));
  }
  return status;
}

absl::Status CheckIdentity(const v1::SynchronizeRequest& request) {
  if (!IsWorkerName(request.worker())) {
    return WrongValue("worker", Quoted(request.worker()),
                      "1 to 63 lower-case letters, digits and '-'");
  }
  if (request.instance_id().empty() ||
      request.instance_id().size() > kMaxInstanceBytes ||
      !IsPrintableAscii(request.instance_id(), /*spaces=*/true)) {
    return WrongValue("instance_id", Quoted(request.instance_id()),
                      "1 to 64 printable ASCII characters");
  }
  RETURN_IF_ERROR(CheckText("version", request.version()));
  RETURN_IF_ERROR(CheckText("platform", request.platform()));
  RETURN_IF_ERROR(CheckLabels("labels", request.labels()));
  RETURN_IF_ERROR(CheckCount(
      "devices", static_cast<size_t>(request.devices_size()), kMaxDevices));
  return CheckCount("attempts", static_cast<size_t>(request.attempts_size()),
                    kMaxAttempts);
}

v1::DesiredAttempt::Action ToAction(core::Action action) {
  switch (action) {
    case core::Action::kRun:
      return v1::DesiredAttempt::ACTION_RUN;
    case core::Action::kPreempt:
      return v1::DesiredAttempt::ACTION_PREEMPT;
    case core::Action::kCancel:
      return v1::DesiredAttempt::ACTION_CANCEL;
  }
  return v1::DesiredAttempt::ACTION_UNSPECIFIED;
}

v1::Worker::State ToState(core::WorkerState state) {
  switch (state) {
    case core::WorkerState::kOnline:
      return v1::Worker::STATE_ONLINE;
    case core::WorkerState::kSilent:
      return v1::Worker::STATE_SILENT;
    case core::WorkerState::kLost:
      return v1::Worker::STATE_LOST;
    case core::WorkerState::kLeft:
      return v1::Worker::STATE_LEFT;
  }
  return v1::Worker::STATE_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<core::WorkerReport> FromProto(
    const v1::SynchronizeRequest& request) {
  RETURN_IF_ERROR(CheckIdentity(request));
  core::WorkerReport report;
  report.worker = core::WorkerName(request.worker());
  report.instance = request.instance_id();
  report.version = request.version();
  report.platform = request.platform();
  report.labels.insert(request.labels().begin(), request.labels().end());
  report.leaving = request.leaving();
  absl::flat_hash_set<std::string> ids;
  for (int i = 0; i < request.devices_size(); ++i) {
    const std::string field = absl::StrCat("devices[", i, "]");
    ASSIGN_OR_RETURN(core::Device device, ToDevice(field, request.devices(i)));
    if (!ids.insert(device.id).second) {
      return BadField(absl::StrCat(field, ".id"),
                      absl::StrCat(Quoted(device.id), " appears twice"));
    }
    report.devices.push_back(std::move(device));
  }
  absl::flat_hash_set<core::AttemptKey> keys;
  for (int i = 0; i < request.attempts_size(); ++i) {
    const std::string field = absl::StrCat("attempts[", i, "]");
    ASSIGN_OR_RETURN(core::AttemptStatus status,
                     ToStatus(field, request.attempts(i)));
    if (!keys.insert(status.key).second) {
      return BadField(absl::StrCat(field, ".key"),
                      absl::StrCat(AttemptName(status.key), " appears twice"));
    }
    report.attempts.push_back(std::move(status));
  }
  return report;
}

v1::SynchronizeResponse ToProto(const core::Desired& desired, uint64_t sequence,
                                absl::Duration heartbeat_interval) {
  v1::SynchronizeResponse proto;
  proto.set_sequence(sequence);
  *proto.mutable_heartbeat_interval() = ToProto(heartbeat_interval);
  proto.set_draining(desired.draining);
  for (const core::DesiredAttempt& attempt : desired.attempts) {
    v1::DesiredAttempt& added = *proto.add_attempts();
    *added.mutable_key() = ToProto(attempt.key);
    added.set_action(ToAction(attempt.action));
    added.mutable_devices()->Assign(attempt.devices.begin(),
                                    attempt.devices.end());
    if (attempt.checkpoint) {
      *added.mutable_checkpoint() = ToProto(*attempt.checkpoint);
    }
  }
  return proto;
}

v1::Device ToProto(const core::Device& device) {
  v1::Device proto;
  proto.set_id(device.id);
  proto.set_kind(ToProto(device.kind));
  proto.set_model(device.model);
  proto.set_memory_bytes(device.memory_bytes);
  proto.set_free_memory_bytes(device.free_memory_bytes);
  proto.set_cores(device.cores);
  return proto;
}

v1::Worker ToProto(const core::Worker& worker) {
  v1::Worker proto;
  proto.set_name(WorkerResourceName(worker.name));
  proto.set_state(ToState(worker.state));
  proto.set_draining(worker.draining);
  for (const core::Device& device : worker.devices) {
    *proto.add_devices() = ToProto(device);
  }
  proto.mutable_labels()->insert(worker.labels.begin(), worker.labels.end());
  proto.set_version(worker.version);
  proto.set_platform(worker.platform);
  *proto.mutable_last_seen_time() = ToProto(worker.last_seen);
  for (const core::AttemptKey& key : worker.attempts) {
    proto.add_attempts(AttemptName(key));
  }
  return proto;
}

}  // namespace trainyard::rpc
