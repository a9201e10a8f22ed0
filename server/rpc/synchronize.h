// One worker's Synchronize stream. Its reports go to the engine one at a time:
// the next is read once the one before is durable. What the worker should be
// comes from the engine and is sent whole, at most one message on its way, the
// newest wins.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "server/rpc/worker_sessions.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

grpc::ServerBidiReactor<v1::SynchronizeRequest, v1::SynchronizeResponse>*
StartSynchronize(const Ports& ports, grpc::CallbackServerContext* context,
                 WorkerSessions* sessions);

}  // namespace trainyard::rpc
