#include "server/rpc/submit.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/util/message_differencer.h"
#include "server/core/decide.h"
#include "server/rpc/ask_engine.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/job_view.h"
#include "server/rpc/names.h"
#include "server/rpc/resolve_inputs.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

absl::Status CompleteUser(const auth::Caller& caller, v1::JobSpec* spec) {
  if (caller.token_id.empty()) return absl::OkStatus();  // whoever he says
  if (spec->user().empty()) spec->set_user(caller.user);
  if (spec->user() == caller.user || caller.role == auth::Role::kAdmin) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "user: ", Quoted(spec->user()), ": must be ", Quoted(caller.user),
      ", for whom this token is, or left out; the role admin may name others"));
}

// The checked and completed spec replaces the one in *checked.
absl::Status Check(const auth::Caller& caller,
                   const v1::SubmitJobRequest& request, bool in_batch,
                   v1::SubmitJobRequest* checked) {
  *checked = request;
  RETURN_IF_ERROR(ValidateSubmit(checked, in_batch));
  return CompleteUser(caller, checked->mutable_spec());
}

// Both as Check and ResolveInputs leave them.
absl::Status CheckSameSpec(const std::string& request_id, core::JobId earlier,
                           const v1::JobSpec& earlier_spec,
                           const v1::JobSpec& spec) {
  if (google::protobuf::util::MessageDifferencer::Equals(earlier_spec, spec)) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(absl::StrCat(
      "request_id ", Quoted(request_id), " made ", JobName(earlier),
      " from another spec: must be another request_id for another job"));
}

// The spec is in place already.
void FillNewJob(const core::SubmitResult& result, v1::Job* job) {
  job->set_name(JobName(result.job));
  job->set_state(v1::Job::STATE_QUEUED);
  job->set_revision(result.revision);
  *job->mutable_submit_time() = ToProto(result.time);
}

// Moves the spec into the response.
void PostOne(const Ports& ports, const v1::SubmitJobRequest& request,
             v1::SubmitJobRequest* checked, v1::SubmitJobResponse* response,
             const UnaryCall& call) {
  core::SubmitJobs command;
  command.submissions.push_back(
      ToSubmission(checked->request_id(), checked->spec()));
  response->mutable_job()->mutable_spec()->Swap(checked->mutable_spec());
  ports.engine->Post(std::move(command), [&ports, &request, response,
                                          call](const core::Reply& reply) {
    absl::Status status = reply.status;
    if (status.ok()) status = reply.submits.at(0).status;
    if (!status.ok()) return call.Done(status);
    const core::SubmitResult& result = reply.submits[0];
    if (result.revision != 0) {
      FillNewJob(result, response->mutable_job());
      return call.Done(absl::OkStatus());
    }
    // The request_id made it before; as it stands now.
    call.RunBlocking([&ports, &request, response,
                      id = result.job]() -> absl::Status {
      ASSIGN_OR_RETURN(v1::Job earlier, ViewJob(ports, id));
      RETURN_IF_ERROR(CheckSameSpec(request.request_id(), id, earlier.spec(),
                                    response->job().spec()));
      *response->mutable_job() = std::move(earlier);
      return absl::OkStatus();
    });
  });
}

// What became of a batch: the answers to refused items are there from the
// start, those of the others come with the engine's reply.
struct Batch {
  Batch(const auth::Caller& caller, const v1::BatchSubmitJobsRequest& request,
        v1::BatchSubmitJobsResponse* response, const UnaryCall& call)
      : caller(caller), request(request), response(response), call(call) {}

  const auth::Caller caller;
  const v1::BatchSubmitJobsRequest& request;
  v1::BatchSubmitJobsResponse* const response;
  const UnaryCall call;
  core::SubmitJobs command;
  std::vector<int> places;  // of the command's submissions in the response
};

void Refuse(const absl::Status& status, v1::BatchSubmitJobsResult* result) {
  result->set_code(static_cast<int32_t>(status.code()));
  result->set_message(std::string(status.message()));
}

absl::Status CheckItem(const Ports& ports, const auth::Caller& caller,
                       const v1::SubmitJobRequest& request,
                       v1::SubmitJobRequest* checked) {
  RETURN_IF_ERROR(Check(caller, request, /*in_batch=*/true, checked));
  if (!MustResolve(checked->spec())) return absl::OkStatus();
  return ResolveInputs(ports, /*dry_run=*/false, checked->mutable_spec());
}

// Of an item whose request_id made the job before. What was checked went to the
// engine, so it is checked once more: new items, which are most, pay no copy.
absl::Status CheckRepeated(const Ports& ports, const auth::Caller& caller,
                           const v1::SubmitJobRequest& request,
                           core::JobId earlier) {
  v1::SubmitJobRequest checked;
  RETURN_IF_ERROR(CheckItem(ports, caller, request, &checked));
  ASSIGN_OR_RETURN(const std::string stored, ports.jobs->GetSpec(earlier));
  v1::JobSpec spec;
  if (!spec.ParseFromString(stored)) {
    return absl::DataLossError(
        absl::StrCat(JobName(earlier), ": its stored spec is damaged"));
  }
  return CheckSameSpec(request.request_id(), earlier, spec, checked.spec());
}

// Reads the disk for the items whose request_id was known.
void AnswerItems(const Ports& ports, const Batch& batch,
                 const std::vector<core::SubmitResult>& submits) {
  for (size_t i = 0; i < batch.places.size(); ++i) {
    const int place = batch.places[i];
    v1::BatchSubmitJobsResult* result = batch.response->mutable_results(place);
    absl::Status status = submits.at(i).status;
    if (status.ok() && submits[i].revision == 0) {
      status = CheckRepeated(ports, batch.caller, batch.request.requests(place),
                             submits[i].job);
    }
    if (status.ok()) {
      result->set_job(JobName(submits[i].job));
    } else {
      Refuse(status, result);
    }
  }
}

void Answer(const Ports& ports, std::shared_ptr<Batch> batch,
            const core::Reply& reply) {
  if (!reply.status.ok()) return batch->call.Done(reply.status);
  const bool repeated = std::any_of(
      reply.submits.begin(), reply.submits.end(), [](const auto& submit) {
        return submit.status.ok() && submit.revision == 0;
      });
  if (!repeated) {
    AnswerItems(ports, *batch, reply.submits);
    return batch->call.Done(absl::OkStatus());
  }
  batch->call.RunBlocking([&ports, batch, submits = reply.submits] {
    AnswerItems(ports, *batch, submits);
    return absl::OkStatus();
  });
}

void CheckBatch(const Ports& ports, Batch* batch) {
  for (int i = 0; i < batch->request.requests_size(); ++i) {
    v1::BatchSubmitJobsResult* result = batch->response->add_results();
    v1::SubmitJobRequest checked;
    const absl::Status status =
        CheckItem(ports, batch->caller, batch->request.requests(i), &checked);
    if (!status.ok()) {
      Refuse(status, result);
      continue;
    }
    batch->command.submissions.push_back(
        ToSubmission(checked.request_id(), checked.spec()));
    batch->places.push_back(i);
  }
}

void PostBatch(const Ports& ports, std::shared_ptr<Batch> batch) {
  CheckBatch(ports, batch.get());
  if (batch->places.empty()) return batch->call.Done(absl::OkStatus());
  core::SubmitJobs command = std::move(batch->command);
  ports.engine->Post(std::move(command),
                     [&ports, batch](const core::Reply& reply) {
                       Answer(ports, batch, reply);
                     });
}

}  // namespace

void SubmitOne(const Ports& ports, const auth::Caller& caller,
               const v1::SubmitJobRequest& request,
               v1::SubmitJobResponse* response, const UnaryCall& call) {
  auto checked = std::make_shared<v1::SubmitJobRequest>();
  absl::Status status =
      Check(caller, request, /*in_batch=*/false, checked.get());
  if (!status.ok()) return call.Done(status);
  if (!MustResolve(checked->spec()) && !checked->dry_run()) {
    return PostOne(ports, request, checked.get(), response, call);
  }
  const bool taken =
      ports.executor->Post([&ports, &request, checked, response, call] {
        const absl::Status there =
            ResolveInputs(ports, checked->dry_run(), checked->mutable_spec());
        if (!there.ok()) return call.Done(there);
        if (!checked->dry_run())
          return PostOne(ports, request, checked.get(), response, call);
        *response->mutable_job() = NewJob({}, checked->spec());
        AskEngine(ports, call, [response](const core::Cluster& cluster) {
          return core::CheckTakesJobs(
              cluster, core::QueueName(response->job().spec().queue()));
        });
      });
  if (!taken) call.Done(UnaryCall::BusyError());
}

void SubmitMany(const Ports& ports, const auth::Caller& caller,
                const v1::BatchSubmitJobsRequest& request,
                v1::BatchSubmitJobsResponse* response, const UnaryCall& call) {
  if (absl::Status status = ValidateBatch(request); !status.ok()) {
    return call.Done(status);
  }
  auto batch = std::make_shared<Batch>(caller, request, response, call);
  const bool taken =
      ports.executor->Post([&ports, batch] { PostBatch(ports, batch); });
  if (!taken) call.Done(UnaryCall::BusyError());
}

}  // namespace trainyard::rpc
