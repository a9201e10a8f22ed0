// Look at workers, drain them (proto/trainyard/v1/fleet_service).
//
// Thread-safe.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/fleet_service.grpc.pb.h"

namespace trainyard::rpc {

class FleetService final : public v1::FleetService::CallbackService {
 public:
  // Borrows the ports.
  explicit FleetService(const Ports& ports) : ports_(ports) {}

  grpc::ServerUnaryReactor* ListWorkers(
      grpc::CallbackServerContext* context,
      const v1::ListWorkersRequest* request,
      v1::ListWorkersResponse* response) override;
  grpc::ServerUnaryReactor* GetWorker(grpc::CallbackServerContext* context,
                                      const v1::GetWorkerRequest* request,
                                      v1::GetWorkerResponse* response) override;
  grpc::ServerUnaryReactor* DrainWorker(
      grpc::CallbackServerContext* context,
      const v1::DrainWorkerRequest* request,
      v1::DrainWorkerResponse* response) override;
  grpc::ServerUnaryReactor* GetServer(grpc::CallbackServerContext* context,
                                      const v1::GetServerRequest* request,
                                      v1::GetServerResponse* response) override;

 private:
  const Ports& ports_;
};

}  // namespace trainyard::rpc
