#include "server/rpc/submit.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/job_view.h"
#include "server/rpc/names.h"
#include "server/rpc/resolve_inputs.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

// The checked and completed spec replaces the one in *checked.
absl::Status Check(const v1::SubmitJobRequest& request, bool in_batch,
                   v1::SubmitJobRequest* checked) {
  *checked = request;
  return ValidateSubmit(checked, in_batch);
}

// The spec is in place already.
void FillNewJob(const core::SubmitResult& result, v1::Job* job) {
  job->set_name(JobName(result.job));
  job->set_state(v1::Job::STATE_QUEUED);
  job->set_revision(result.revision);
  *job->mutable_submit_time() = ToProto(result.time);
}

// Moves the spec into the response.
void PostOne(const Ports& ports, v1::SubmitJobRequest* checked,
             v1::SubmitJobResponse* response, const UnaryCall& call) {
  core::SubmitJobs command;
  command.submissions.push_back(
      ToSubmission(checked->request_id(), checked->spec()));
  response->mutable_job()->mutable_spec()->Swap(checked->mutable_spec());
  ports.engine->Post(
      std::move(command), [&ports, response, call](const core::Reply& reply) {
        absl::Status status = reply.status;
        if (status.ok()) status = reply.submits.at(0).status;
        if (!status.ok()) return call.Done(status);
        const core::SubmitResult& result = reply.submits[0];
        if (result.revision != 0) {
          FillNewJob(result, response->mutable_job());
          return call.Done(absl::OkStatus());
        }
        // The request_id made it before; as it stands now.
        call.RunBlocking([&ports, response, id = result.job]() -> absl::Status {
          ASSIGN_OR_RETURN(*response->mutable_job(), ViewJob(ports, id));
          return absl::OkStatus();
        });
      });
}

// What became of a batch: the answers to refused items are there from the
// start, those of the others come with the engine's reply.
struct Batch {
  Batch(v1::BatchSubmitJobsResponse* response, const UnaryCall& call)
      : response(response), call(call) {}

  v1::BatchSubmitJobsResponse* const response;
  const UnaryCall call;
  core::SubmitJobs command;
  std::vector<int> places;  // of the command's submissions in the response
};

void Refuse(const absl::Status& status, v1::BatchSubmitJobsResult* result) {
  result->set_code(static_cast<int32_t>(status.code()));
  result->set_message(std::string(status.message()));
}

void Answer(const Batch& batch, const core::Reply& reply) {
  if (!reply.status.ok()) return batch.call.Done(reply.status);
  for (size_t i = 0; i < batch.places.size(); ++i) {
    v1::BatchSubmitJobsResult* result =
        batch.response->mutable_results(batch.places[i]);
    const core::SubmitResult& submit = reply.submits.at(i);
    if (submit.status.ok()) {
      result->set_job(JobName(submit.job));
    } else {
      Refuse(submit.status, result);
    }
  }
  batch.call.Done(absl::OkStatus());
}

void CheckBatch(const Ports& ports, const v1::BatchSubmitJobsRequest& request,
                Batch* batch) {
  for (int i = 0; i < request.requests_size(); ++i) {
    v1::BatchSubmitJobsResult* result = batch->response->add_results();
    v1::SubmitJobRequest checked;
    absl::Status status =
        Check(request.requests(i), /*in_batch=*/true, &checked);
    if (status.ok() && NamesStored(checked.spec())) {
      status = ResolveInputs(ports, checked.mutable_spec());
    }
    if (!status.ok()) {
      Refuse(status, result);
      continue;
    }
    batch->command.submissions.push_back(
        ToSubmission(checked.request_id(), checked.spec()));
    batch->places.push_back(i);
  }
}

void PostBatch(const Ports& ports, const v1::BatchSubmitJobsRequest& request,
               std::shared_ptr<Batch> batch) {
  CheckBatch(ports, request, batch.get());
  if (batch->places.empty()) return batch->call.Done(absl::OkStatus());
  core::SubmitJobs command = std::move(batch->command);
  ports.engine->Post(std::move(command), [batch](const core::Reply& reply) {
    Answer(*batch, reply);
  });
}

}  // namespace

void SubmitOne(const Ports& ports, const v1::SubmitJobRequest& request,
               v1::SubmitJobResponse* response, const UnaryCall& call) {
  auto checked = std::make_shared<v1::SubmitJobRequest>();
  absl::Status status = Check(request, /*in_batch=*/false, checked.get());
  if (!status.ok()) return call.Done(status);
  if (!NamesStored(checked->spec()) && !checked->dry_run()) {
    return PostOne(ports, checked.get(), response, call);
  }
  const bool taken = ports.executor->Post([&ports, checked, response, call] {
    const absl::Status there = ResolveInputs(ports, checked->mutable_spec());
    if (!there.ok()) return call.Done(there);
    if (!checked->dry_run())
      return PostOne(ports, checked.get(), response, call);
    *response->mutable_job() = NewJob({}, checked->spec());
    call.Done(absl::OkStatus());
  });
  if (!taken) call.Done(UnaryCall::BusyError());
}

void SubmitMany(const Ports& ports, const v1::BatchSubmitJobsRequest& request,
                v1::BatchSubmitJobsResponse* response, const UnaryCall& call) {
  if (absl::Status status = ValidateBatch(request); !status.ok()) {
    return call.Done(status);
  }
  auto batch = std::make_shared<Batch>(response, call);
  const bool taken = ports.executor->Post(
      [&ports, &request, batch] { PostBatch(ports, request, batch); });
  if (!taken) call.Done(UnaryCall::BusyError());
}

}  // namespace trainyard::rpc
