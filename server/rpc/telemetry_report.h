// One worker's ReportTelemetry stream: one message at a time is checked, stored
// and acknowledged.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                        v1::ReportTelemetryResponse>*
StartTelemetryReport(const Ports& ports, grpc::CallbackServerContext* context);

}  // namespace trainyard::rpc
