// Small values between the wire and the core: enums, times, checkpoints. The
// only place that knows both forms, with convert_job, convert_worker and
// convert_telemetry.
//
//   *proto.mutable_submit_time() = ToProto(job.submit_time);
//
// ToProto cannot fail. FromProto takes what anyone may have sent: `field` is
// the path for its INVALID_ARGUMENT.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "server/core/types.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

// Clamped to the years 1 to 9999, which is what a Timestamp can say.
google::protobuf::Timestamp ToProto(absl::Time time);
absl::StatusOr<absl::Time> FromProto(
    absl::string_view field, const google::protobuf::Timestamp& timestamp);

// Clamped to ±10,000 years; infinity becomes that bound.
google::protobuf::Duration ToProto(absl::Duration duration);
absl::StatusOr<absl::Duration> FromProto(
    absl::string_view field, const google::protobuf::Duration& duration);

v1::DeviceKind ToProto(core::DeviceKind kind);
absl::StatusOr<core::DeviceKind> FromProto(absl::string_view field,
                                           v1::DeviceKind kind);

v1::Job::State ToProto(core::JobState state);
absl::StatusOr<core::JobState> FromProto(absl::string_view field,
                                         v1::Job::State state);

v1::Attempt::Outcome ToProto(core::Outcome outcome);
v1::Failure ToProto(const core::Failure& failure);
v1::Checkpoint ToProto(const core::Checkpoint& checkpoint);
v1::Output ToProto(const core::Output& output);
v1::AttemptKey ToProto(const core::AttemptKey& key);

// Texts over the sizes in job.proto are cut, the tail of stderr at its start: a
// worker's last words should not be lost for their length.
core::Failure FromProto(const v1::Failure& failure);
absl::StatusOr<core::Checkpoint> FromProto(absl::string_view field,
                                           const v1::Checkpoint& checkpoint);
absl::StatusOr<core::Output> FromProto(absl::string_view field,
                                       const v1::Output& output);
// Both numbers from 1; the job's at most kMaxNumber.
absl::StatusOr<core::AttemptKey> FromProto(absl::string_view field,
                                           const v1::AttemptKey& key);

}  // namespace trainyard::rpc
