#include "server/rpc/worker_service.h"

#include "server/rpc/synchronize.h"
#include "server/rpc/telemetry_report.h"

namespace trainyard::rpc {

grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>*
WorkerService::Synchronize(grpc::CallbackServerContext*) {
  return StartSynchronize(ports_, &sessions_);
}

grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                        v1::ReportTelemetryResponse>*
WorkerService::ReportTelemetry(grpc::CallbackServerContext*) {
  return StartTelemetryReport(ports_);
}

}  // namespace trainyard::rpc
