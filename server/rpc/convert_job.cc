#include "server/rpc/convert_job.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

// Of a validated spec: what cannot be read has the default.
absl::Duration DurationOr(const google::protobuf::Duration& proto,
                          absl::Duration otherwise) {
  const absl::StatusOr<absl::Duration> duration = FromProto("", proto);
  return duration.ok() ? *duration : otherwise;
}

core::Labels ToCore(
    const google::protobuf::Map<std::string, std::string>& labels) {
  return core::Labels(labels.begin(), labels.end());
}

v1::Attempt ToAttempt(const engine::StoredAttempt& attempt) {
  v1::Attempt proto;
  proto.set_number(attempt.number);
  proto.set_worker(WorkerResourceName(attempt.worker));
  proto.mutable_devices()->Assign(attempt.devices.begin(),
                                  attempt.devices.end());
  proto.set_outcome(ToProto(attempt.outcome));
  *proto.mutable_place_time() = ToProto(attempt.place_time);
  if (attempt.start_time) {
    *proto.mutable_start_time() = ToProto(*attempt.start_time);
  }
  if (attempt.end_time) *proto.mutable_end_time() = ToProto(*attempt.end_time);
  if (attempt.failure) *proto.mutable_failure() = ToProto(*attempt.failure);
  return proto;
}

}  // namespace

core::SchedulingSpec ToScheduling(const v1::JobSpec& spec) {
  core::SchedulingSpec scheduling;
  if (!spec.queue().empty()) scheduling.queue = core::QueueName(spec.queue());
  scheduling.user = core::UserName(spec.user());
  scheduling.priority = spec.priority();
  for (const v1::DeviceRequest& request : spec.resources().devices()) {
    const auto kind = FromProto("", request.kind());
    if (!kind.ok()) continue;  // validated: not so
    scheduling.devices.push_back(
        {.kind = *kind,
         .count = request.count(),
         .min_memory_bytes = request.min_memory_bytes()});
  }
  scheduling.worker_labels = ToCore(spec.resources().worker_labels());
  scheduling.max_retries = spec.retry().max_retries();
  scheduling.backoff = DurationOr(spec.retry().backoff(), scheduling.backoff);
  if (spec.limits().has_run_time()) {
    scheduling.run_time_limit =
        DurationOr(spec.limits().run_time(), absl::InfiniteDuration());
  }
  if (spec.limits().has_queue_time()) {
    scheduling.queue_time_limit =
        DurationOr(spec.limits().queue_time(), absl::InfiniteDuration());
  }
  return scheduling;
}

core::Submission ToSubmission(absl::string_view request_id,
                              const v1::JobSpec& spec) {
  return {.request_id = std::string(request_id),
          .name = spec.name(),
          .spec = spec.SerializeAsString(),
          .scheduling = ToScheduling(spec),
          .labels = ToCore(spec.labels())};
}

absl::StatusOr<v1::Job> ToProto(const engine::StoredJob& job) {
  v1::Job proto;
  proto.set_name(JobName(job.id));
  if (!proto.mutable_spec()->ParseFromString(job.spec)) {
    return absl::DataLossError(
        absl::StrCat(JobName(job.id), ": the store holds ", job.spec.size(),
                     " bytes that are no spec"));
  }
  proto.set_state(ToProto(job.state));
  proto.set_revision(job.revision);
  *proto.mutable_submit_time() = ToProto(job.submit_time);
  if (job.start_time) *proto.mutable_start_time() = ToProto(*job.start_time);
  if (job.end_time) *proto.mutable_end_time() = ToProto(*job.end_time);
  for (const engine::StoredAttempt& attempt : job.attempts) {
    *proto.add_attempts() = ToAttempt(attempt);
  }
  if (job.checkpoint) *proto.mutable_checkpoint() = ToProto(*job.checkpoint);
  for (const core::Output& output : job.outputs) {
    *proto.add_outputs() = ToProto(output);
  }
  proto.set_reason(job.reason);
  proto.set_cancel_requested(job.cancel_requested);
  return proto;
}

v1::Job NewJob(const core::SubmitResult& result, const v1::JobSpec& spec) {
  v1::Job job;
  *job.mutable_spec() = spec;
  if (result.job == core::JobId()) return job;
  job.set_name(JobName(result.job));
  job.set_state(v1::Job::STATE_QUEUED);
  job.set_revision(result.revision);
  *job.mutable_submit_time() = ToProto(result.time);
  return job;
}

absl::StatusOr<engine::JobQuery> ToQuery(const v1::JobFilter& filter) {
  RETURN_IF_ERROR(ValidateFilter(filter));
  engine::JobQuery query;
  for (int i = 0; i < filter.states_size(); ++i) {
    const auto state =
        FromProto(absl::StrCat("filter.states[", i, "]"), filter.states(i));
    RETURN_IF_ERROR(state.status());
    query.states.push_back(*state);
  }
  for (int i = 0; i < filter.names_size(); ++i) {
    ASSIGN_OR_RETURN(
        const core::JobId job,
        ParseJobName(absl::StrCat("filter.names[", i, "]"), filter.names(i)));
    query.jobs.push_back(job);
  }
  query.labels = ToCore(filter.labels());
  query.name = filter.spec_name();
  return query;
}

v1::Progress ToProto(const telemetry::Progress& progress) {
  v1::Progress proto;
  proto.set_step(progress.step);
  proto.set_total_steps(progress.total_steps);
  proto.set_epoch(progress.epoch);
  proto.set_samples_per_second(progress.samples_per_second.value_or(0));
  proto.set_loss(progress.loss.value_or(0));
  return proto;
}

bool IsFinal(v1::Job::State state) {
  return state == v1::Job::STATE_SUCCEEDED || state == v1::Job::STATE_FAILED ||
         state == v1::Job::STATE_CANCELLED;
}

}  // namespace trainyard::rpc
