// How workers talk to the server (proto/trainyard/v1/worker_service).
//
// Thread-safe.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "server/rpc/worker_sessions.h"
#include "trainyard/v1/worker_service.grpc.pb.h"

namespace trainyard::rpc {

class WorkerService final : public v1::WorkerService::CallbackService {
 public:
  // Borrows the ports.
  explicit WorkerService(const Ports& ports) : ports_(ports) {}

  grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>*
  Synchronize(grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::ReportTelemetryRequest,
                          v1::ReportTelemetryResponse>*
  ReportTelemetry(grpc::CallbackServerContext* context) override;

 private:
  const Ports& ports_;
  WorkerSessions sessions_;
};

}  // namespace trainyard::rpc
