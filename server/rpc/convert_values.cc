#include "server/rpc/convert_values.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "proto/json/names.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

// The bounds that google/protobuf/{timestamp,duration}.proto state.
constexpr int64_t kFirstSecond = -62'135'596'800;  // 0001-01-01
constexpr int64_t kLastSecond = 253'402'300'799;   // 9999-12-31
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int32_t kMaxNanos = 999'999'999;

// The bounds that job.proto states.
constexpr size_t kMaxMessageBytes = 4096;
constexpr size_t kMaxStderrBytes = size_t{16} * 1024;
constexpr size_t kMaxOutputNameBytes = 255;

core::FailureCategory FromProto(v1::Failure::Category category) {
  switch (category) {
    case v1::Failure::CATEGORY_USER_ERROR:
      return core::FailureCategory::kUserError;
    case v1::Failure::CATEGORY_OUT_OF_MEMORY:
      return core::FailureCategory::kOutOfMemory;
    case v1::Failure::CATEGORY_CRASH:
      return core::FailureCategory::kCrash;
    case v1::Failure::CATEGORY_INFRASTRUCTURE:
      return core::FailureCategory::kInfrastructure;
    case v1::Failure::CATEGORY_TIME_LIMIT:
      return core::FailureCategory::kTimeLimit;
    default:  // a newer worker's
      return core::FailureCategory::kUnknown;
  }
}

v1::Failure::Category ToProto(core::FailureCategory category) {
  switch (category) {
    case core::FailureCategory::kUnknown:
      return v1::Failure::CATEGORY_UNSPECIFIED;
    case core::FailureCategory::kUserError:
      return v1::Failure::CATEGORY_USER_ERROR;
    case core::FailureCategory::kOutOfMemory:
      return v1::Failure::CATEGORY_OUT_OF_MEMORY;
    case core::FailureCategory::kCrash:
      return v1::Failure::CATEGORY_CRASH;
    case core::FailureCategory::kInfrastructure:
      return v1::Failure::CATEGORY_INFRASTRUCTURE;
    case core::FailureCategory::kTimeLimit:
      return v1::Failure::CATEGORY_TIME_LIMIT;
  }
  return v1::Failure::CATEGORY_UNSPECIFIED;
}

absl::Status WrongArtifact(absl::string_view field, const std::string& name) {
  return WrongValue(absl::StrCat(field, ".artifact"), Quoted(name),
                    "\"sha256:\" and 64 lower-case hex digits");
}

template <typename Enum>
absl::Status WrongEnum(absl::string_view field, Enum value) {
  const std::string names = absl::StrJoin(
      ShortEnumNames(*google::protobuf::GetEnumDescriptor<Enum>()), ", ");
  return WrongValue(
      field, value == 0 ? "not set" : absl::StrCat(static_cast<int>(value)),
      absl::StrCat("one of ", names));
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  time = std::clamp(
      time, absl::FromUnixSeconds(kFirstSecond),
      absl::FromUnixSeconds(kLastSecond) + absl::Nanoseconds(kMaxNanos));
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds down
  google::protobuf::Timestamp proto;
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

absl::StatusOr<absl::Time> FromProto(
    absl::string_view field, const google::protobuf::Timestamp& timestamp) {
  if (timestamp.seconds() < kFirstSecond || timestamp.seconds() > kLastSecond ||
      timestamp.nanos() < 0 || timestamp.nanos() > kMaxNanos) {
    return WrongValue(
        field,
        absl::StrCat(timestamp.seconds(), " s ", timestamp.nanos(), " ns"),
        "a time in the years 1 to 9999, with 0 to 999,999,999 "
        "ns");
  }
  return absl::FromUnixSeconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  const absl::Duration most = absl::Seconds(kMaxDurationSeconds);
  duration = std::clamp(duration, -most, most);
  absl::Duration rest;
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return proto;
}

absl::StatusOr<absl::Duration> FromProto(
    absl::string_view field, const google::protobuf::Duration& duration) {
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  const bool signs_agree =
      seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
  if (seconds < -kMaxDurationSeconds || seconds > kMaxDurationSeconds ||
      nanos < -kMaxNanos || nanos > kMaxNanos || !signs_agree) {
    return WrongValue(field, absl::StrCat(seconds, " s ", nanos, " ns"),
                      "a duration below 10,000 years, both parts of one sign, "
                      "with up to 999,999,999 ns");
  }
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

v1::DeviceKind ToProto(core::DeviceKind kind) {
  switch (kind) {
    case core::DeviceKind::kCpu:
      return v1::DEVICE_KIND_CPU;
    case core::DeviceKind::kCuda:
      return v1::DEVICE_KIND_CUDA;
    case core::DeviceKind::kMps:
      return v1::DEVICE_KIND_MPS;
  }
  return v1::DEVICE_KIND_UNSPECIFIED;
}

absl::StatusOr<core::DeviceKind> FromProto(absl::string_view field,
                                           v1::DeviceKind kind) {
  switch (kind) {
    case v1::DEVICE_KIND_CPU:
      return core::DeviceKind::kCpu;
    case v1::DEVICE_KIND_CUDA:
      return core::DeviceKind::kCuda;
    case v1::DEVICE_KIND_MPS:
      return core::DeviceKind::kMps;
    default:
      return WrongEnum(field, kind);
  }
}

v1::Job::State ToProto(core::JobState state) {
  switch (state) {
    case core::JobState::kQueued:
      return v1::Job::STATE_QUEUED;
    case core::JobState::kStarting:
      return v1::Job::STATE_STARTING;
    case core::JobState::kRunning:
      return v1::Job::STATE_RUNNING;
    case core::JobState::kSucceeded:
      return v1::Job::STATE_SUCCEEDED;
    case core::JobState::kFailed:
      return v1::Job::STATE_FAILED;
    case core::JobState::kCancelled:
      return v1::Job::STATE_CANCELLED;
  }
  return v1::Job::STATE_UNSPECIFIED;
}

absl::StatusOr<core::JobState> FromProto(absl::string_view field,
                                         v1::Job::State state) {
  switch (state) {
    case v1::Job::STATE_QUEUED:
      return core::JobState::kQueued;
    case v1::Job::STATE_STARTING:
      return core::JobState::kStarting;
    case v1::Job::STATE_RUNNING:
      return core::JobState::kRunning;
    case v1::Job::STATE_SUCCEEDED:
      return core::JobState::kSucceeded;
    case v1::Job::STATE_FAILED:
      return core::JobState::kFailed;
    case v1::Job::STATE_CANCELLED:
      return core::JobState::kCancelled;
    default:
      return WrongEnum(field, state);
  }
}

v1::Attempt::Outcome ToProto(core::Outcome outcome) {
  switch (outcome) {
    case core::Outcome::kNone:
      return v1::Attempt::OUTCOME_UNSPECIFIED;
    case core::Outcome::kSucceeded:
      return v1::Attempt::OUTCOME_SUCCEEDED;
    case core::Outcome::kFailed:
      return v1::Attempt::OUTCOME_FAILED;
    case core::Outcome::kLost:
      return v1::Attempt::OUTCOME_LOST;
    case core::Outcome::kCancelled:
      return v1::Attempt::OUTCOME_CANCELLED;
    case core::Outcome::kPreempted:
      return v1::Attempt::OUTCOME_PREEMPTED;
  }
  return v1::Attempt::OUTCOME_UNSPECIFIED;
}

v1::Failure ToProto(const core::Failure& failure) {
  v1::Failure proto;
  proto.set_category(ToProto(failure.category));
  proto.set_message(failure.message);
  proto.set_stderr_tail(failure.stderr_tail);
  proto.set_exit_code(failure.exit_code);
  return proto;
}

v1::Checkpoint ToProto(const core::Checkpoint& checkpoint) {
  v1::Checkpoint proto;
  proto.set_step(checkpoint.step);
  proto.set_artifact(checkpoint.artifact);
  proto.set_size_bytes(checkpoint.size_bytes);
  return proto;
}

v1::Output ToProto(const core::Output& output) {
  v1::Output proto;
  proto.set_name(output.name);
  proto.set_artifact(output.artifact);
  proto.set_size_bytes(output.size_bytes);
  return proto;
}

v1::AttemptKey ToProto(const core::AttemptKey& key) {
  v1::AttemptKey proto;
  proto.set_job(key.job.value());
  proto.set_attempt(key.attempt);
  return proto;
}

core::Failure FromProto(const v1::Failure& failure) {
  return {.category = FromProto(failure.category()),
          .message = Head(failure.message(), kMaxMessageBytes),
          .stderr_tail = Tail(failure.stderr_tail(), kMaxStderrBytes),
          .exit_code = failure.exit_code()};
}

absl::StatusOr<core::Checkpoint> FromProto(absl::string_view field,
                                           const v1::Checkpoint& checkpoint) {
  if (!IsArtifactName(checkpoint.artifact())) {
    return WrongArtifact(field, checkpoint.artifact());
  }
  return core::Checkpoint{.step = checkpoint.step(),
                          .artifact = checkpoint.artifact(),
                          .size_bytes = checkpoint.size_bytes()};
}

absl::StatusOr<core::Output> FromProto(absl::string_view field,
                                       const v1::Output& output) {
  const std::string& name = output.name();
  if (name.empty() || name.size() > kMaxOutputNameBytes || name == "." ||
      name == ".." || name.find('/') != std::string::npos ||
      HasControlCharacters(name)) {
    return WrongValue(absl::StrCat(field, ".name"), Quoted(name),
                      "a file name of at most 255 bytes, without '/'");
  }
  if (!IsArtifactName(output.artifact())) {
    return WrongArtifact(field, output.artifact());
  }
  return core::Output{.name = name,
                      .artifact = output.artifact(),
                      .size_bytes = output.size_bytes()};
}

absl::StatusOr<core::AttemptKey> FromProto(absl::string_view field,
                                           const v1::AttemptKey& key) {
  if (key.job() == 0 || key.job() > kMaxNumber || key.attempt() == 0) {
    return WrongValue(
        field, absl::StrCat("job ", key.job(), ", attempt ", key.attempt()),
        "the numbers of a job and an attempt, both from 1");
  }
  return core::AttemptKey{core::JobId(key.job()), key.attempt()};
}

}  // namespace trainyard::rpc
