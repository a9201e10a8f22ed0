// Submit, look at, follow and cancel jobs (proto/trainyard/v1/job_service).
//
//   JobService jobs(ports);
//   builder.RegisterService(&jobs);
//
// Thread-safe.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job_service.grpc.pb.h"

namespace trainyard::rpc {

class JobService final : public v1::JobService::CallbackService {
 public:
  // Borrows the ports.
  explicit JobService(const Ports& ports) : ports_(ports) {}

  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* context,
                                      const v1::SubmitJobRequest* request,
                                      v1::SubmitJobResponse* response) override;
  grpc::ServerUnaryReactor* BatchSubmitJobs(
      grpc::CallbackServerContext* context,
      const v1::BatchSubmitJobsRequest* request,
      v1::BatchSubmitJobsResponse* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchJobsResponse>* WatchJobs(
      grpc::CallbackServerContext* context,
      const v1::WatchJobsRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamLogsResponse>* StreamLogs(
      grpc::CallbackServerContext* context,
      const v1::StreamLogsRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StreamMetrics(
      grpc::CallbackServerContext* context,
      const v1::StreamMetricsRequest* request) override;

 private:
  const Ports& ports_;
};

}  // namespace trainyard::rpc
