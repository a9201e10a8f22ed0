// WatchJobs: a stream of jobs as they change.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::rpc {

grpc::ServerWriteReactor<v1::WatchJobsResponse>* StartWatch(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::WatchJobsRequest& request);

}  // namespace trainyard::rpc
