// Tokens and their roles (proto/trainyard/v1/auth_service).
//
// Thread-safe.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/auth_service.grpc.pb.h"

namespace trainyard::rpc {

class AuthService final : public v1::AuthService::CallbackService {
 public:
  // Borrows the ports; needs of them authority, guard, executor, metrics.
  explicit AuthService(const Ports& ports) : ports_(ports) {}

  grpc::ServerUnaryReactor* CreateToken(
      grpc::CallbackServerContext* context,
      const v1::CreateTokenRequest* request,
      v1::CreateTokenResponse* response) override;
  grpc::ServerUnaryReactor* ListTokens(
      grpc::CallbackServerContext* context,
      const v1::ListTokensRequest* request,
      v1::ListTokensResponse* response) override;
  grpc::ServerUnaryReactor* RevokeToken(
      grpc::CallbackServerContext* context,
      const v1::RevokeTokenRequest* request,
      v1::RevokeTokenResponse* response) override;
  grpc::ServerUnaryReactor* JoinWorker(
      grpc::CallbackServerContext* context,
      const v1::JoinWorkerRequest* request,
      v1::JoinWorkerResponse* response) override;
  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context,
                                   const v1::WhoAmIRequest* request,
                                   v1::WhoAmIResponse* response) override;

 private:
  const Ports& ports_;
};

}  // namespace trainyard::rpc
