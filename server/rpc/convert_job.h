// Jobs between the wire, the core and the store.
//
//   RETURN_IF_ERROR(ValidateAndComplete(&spec));
//   engine.Post(core::SubmitJobs{{ToSubmission(request_id, spec)}}, …);
//   ASSIGN_OR_RETURN(v1::Job job, ToProto(stored_job));
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/core/command.h"
#include "server/core/types.h"
#include "server/engine/store.h"
#include "server/telemetry/points.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::rpc {

// Of a spec that ValidateAndComplete accepted.
core::SchedulingSpec ToScheduling(const v1::JobSpec& spec);
core::Submission ToSubmission(absl::string_view request_id,
                              const v1::JobSpec& spec);

// Without progress, which the store does not have. DATA_LOSS: the stored spec
// is damaged.
absl::StatusOr<v1::Job> ToProto(const engine::StoredJob& job);

// A job that was just accepted (revision above 0), without a read from the
// store. For dry runs: an empty result.
v1::Job NewJob(const core::SubmitResult& result, const v1::JobSpec& spec);

// INVALID_ARGUMENT names the field ("filter.states[2]").
absl::StatusOr<engine::JobQuery> ToQuery(const v1::JobFilter& filter);

v1::Progress ToProto(const telemetry::Progress& progress);

// Whether the state is final.
bool IsFinal(v1::Job::State state);

}  // namespace trainyard::rpc
