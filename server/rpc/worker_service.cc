#include "server/rpc/worker_service.h"

#include "server/rpc/synchronize.h"
#include "server/rpc/telemetry_report.h"

namespace trainyard::rpc {

grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>*
WorkerService::Synchronize(grpc::CallbackServerContext* context) {
  return StartSynchronize(ports_, context, &sessions_);
}

grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                        v1::ReportTelemetryResponse>*
WorkerService::ReportTelemetry(grpc::CallbackServerContext* context) {
  return StartTelemetryReport(ports_, context);
}

}  // namespace trainyard::rpc
