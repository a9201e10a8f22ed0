// StreamLogs and StreamMetrics: what a job reported, from a cursor.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::rpc {

grpc::ServerWriteReactor<v1::StreamLogsResponse>* StartLogs(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::StreamLogsRequest& request);

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StartMetrics(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::StreamMetricsRequest& request);

}  // namespace trainyard::rpc
