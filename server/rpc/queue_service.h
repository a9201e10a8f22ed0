// Look at queues, set them up (proto/trainyard/v1/queue_service).
//
// Thread-safe.
#pragma once

#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/queue_service.grpc.pb.h"

namespace trainyard::rpc {

class QueueService final : public v1::QueueService::CallbackService {
 public:
  // Borrows the ports.
  explicit QueueService(const Ports& ports) : ports_(ports) {}

  grpc::ServerUnaryReactor* ListQueues(
      grpc::CallbackServerContext* context,
      const v1::ListQueuesRequest* request,
      v1::ListQueuesResponse* response) override;
  grpc::ServerUnaryReactor* GetQueue(grpc::CallbackServerContext* context,
                                     const v1::GetQueueRequest* request,
                                     v1::GetQueueResponse* response) override;
  grpc::ServerUnaryReactor* SetQueue(grpc::CallbackServerContext* context,
                                     const v1::SetQueueRequest* request,
                                     v1::SetQueueResponse* response) override;
  grpc::ServerUnaryReactor* DeleteQueue(
      grpc::CallbackServerContext* context,
      const v1::DeleteQueueRequest* request,
      v1::DeleteQueueResponse* response) override;
  grpc::ServerUnaryReactor* ResetQueueHours(
      grpc::CallbackServerContext* context,
      const v1::ResetQueueHoursRequest* request,
      v1::ResetQueueHoursResponse* response) override;

 private:
  const Ports& ports_;
};

}  // namespace trainyard::rpc
