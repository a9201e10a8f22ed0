#include "server/rpc/job_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/job_view.h"
#include "server/rpc/names.h"
#include "server/rpc/submit.h"
#include "server/rpc/telemetry_stream.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/validate.h"
#include "server/rpc/watch_jobs.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kPageSize = 50;

absl::Status FillJob(const Ports& ports, core::JobId id, v1::Job* out) {
  ASSIGN_OR_RETURN(*out, ViewJob(ports, id));
  return absl::OkStatus();
}

absl::Status Get(const Ports& ports, const v1::GetJobRequest& request,
                 v1::GetJobResponse* response) {
  ASSIGN_OR_RETURN(const core::JobId id, ParseJobName("name", request.name()));
  return FillJob(ports, id, response->mutable_job());
}

absl::Status List(const Ports& ports, const v1::ListJobsRequest& request,
                  v1::ListJobsResponse* response) {
  RETURN_IF_ERROR(ValidateFilter(request.filter()));
  ASSIGN_OR_RETURN(const engine::JobQuery query, ToQuery(request.filter()));
  ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size(), kPageSize));
  ASSIGN_OR_RETURN(const core::JobId before,
                   ParseJobPageToken(request.page_token()));
  ASSIGN_OR_RETURN(std::vector<engine::StoredJob> stored,
                   ports.jobs->ListJobs(query, before, size + 1));
  const size_t found = stored.size();
  if (found > size) stored.resize(size);
  ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, ViewJobs(ports, stored));
  if (jobs.size() < found) {
    response->set_next_page_token(JobPageToken(stored[jobs.size() - 1].id));
  }
  for (v1::Job& job : jobs) *response->add_jobs() = std::move(job);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* JobService::SubmitJob(
    grpc::CallbackServerContext* context, const v1::SubmitJobRequest* request,
    v1::SubmitJobResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "JobService/SubmitJob",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        SubmitOne(ports_, caller, *request, response, call);
      });
}

grpc::ServerUnaryReactor* JobService::BatchSubmitJobs(
    grpc::CallbackServerContext* context,
    const v1::BatchSubmitJobsRequest* request,
    v1::BatchSubmitJobsResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "JobService/BatchSubmitJobs",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        SubmitMany(ports_, caller, *request, response, call);
      });
}

grpc::ServerUnaryReactor* JobService::GetJob(
    grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
    v1::GetJobResponse* response) {
  return UnaryCall::Serve(ports_, context, "JobService/GetJob",
                          [&](const UnaryCall& call) {
                            call.RunBlocking([this, request, response] {
                              return Get(ports_, *request, response);
                            });
                          });
}

grpc::ServerUnaryReactor* JobService::ListJobs(
    grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
    v1::ListJobsResponse* response) {
  return UnaryCall::Serve(ports_, context, "JobService/ListJobs",
                          [&](const UnaryCall& call) {
                            call.RunBlocking([this, request, response] {
                              return List(ports_, *request, response);
                            });
                          });
}

grpc::ServerUnaryReactor* JobService::CancelJob(
    grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
    v1::CancelJobResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "JobService/CancelJob", [&](const UnaryCall& call) {
        const auto id = ParseJobName("name", request->name());
        absl::Status status = id.ok() ? ValidateCancel(*request) : id.status();
        if (!status.ok()) {
          call.Done(status);
          return;
        }
        ports_.engine->Post(
            core::CancelJob{*id, request->reason()},
            [this, call, response, id = *id](const core::Reply& reply) {
              if (!reply.status.ok()) return call.Done(reply.status);
              call.RunBlocking([this, response, id] {
                return FillJob(ports_, id, response->mutable_job());
              });
            });
      });
}

grpc::ServerWriteReactor<v1::WatchJobsResponse>* JobService::WatchJobs(
    grpc::CallbackServerContext* context, const v1::WatchJobsRequest* request) {
  return StartWatch(ports_, context, *request);
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* JobService::StreamLogs(
    grpc::CallbackServerContext* context,
    const v1::StreamLogsRequest* request) {
  return StartLogs(ports_, context, *request);
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* JobService::StreamMetrics(
    grpc::CallbackServerContext* context,
    const v1::StreamMetricsRequest* request) {
  return StartMetrics(ports_, context, *request);
}

}  // namespace trainyard::rpc
