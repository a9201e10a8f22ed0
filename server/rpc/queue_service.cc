#include "server/rpc/queue_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/ask_engine.h"
#include "server/rpc/convert_queue.h"
#include "server/rpc/names.h"
#include "server/rpc/unary_call.h"

namespace trainyard::rpc {
namespace {

// Ends the call with the queue, its users and all.
void Show(const Ports& ports, const UnaryCall& call,
          const core::QueueName& name, v1::Queue* out) {
  AskEngine(ports, call, [&ports, name, out](const core::Cluster& cluster) {
    const core::Queue* queue = cluster.queues().Find(name);
    if (queue == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(QueueResourceName(name), " does not exist"));
    }
    *out = ToProto(cluster, *queue, ports.clock->Now(), /*with_users=*/true);
    return absl::OkStatus();
  });
}

// Posts the command and ends the call with the queue that it changed.
void Change(const Ports& ports, const UnaryCall& call, core::Command command,
            const core::QueueName& name, v1::Queue* out) {
  ports.engine->Post(std::move(command),
                     [&ports, call, name, out](const core::Reply& reply) {
                       if (!reply.status.ok()) return call.Done(reply.status);
                       Show(ports, call, name, out);
                     });
}

}  // namespace

grpc::ServerUnaryReactor* QueueService::ListQueues(
    grpc::CallbackServerContext* context, const v1::ListQueuesRequest*,
    v1::ListQueuesResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "QueueService/ListQueues", [&](const UnaryCall& call) {
        AskEngine(ports_, call, [this, response](const core::Cluster& cluster) {
          const absl::Time now = ports_.clock->Now();
          for (const auto& [name, queue] : cluster.queues().queues()) {
            *response->add_queues() =
                ToProto(cluster, queue, now, /*with_users=*/false);
          }
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* QueueService::GetQueue(
    grpc::CallbackServerContext* context, const v1::GetQueueRequest* request,
    v1::GetQueueResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "QueueService/GetQueue", [&](const UnaryCall& call) {
        const auto name = ParseQueueResourceName("name", request->name());
        if (!name.ok()) return call.Done(name.status());
        Show(ports_, call, *name, response->mutable_queue());
      });
}

grpc::ServerUnaryReactor* QueueService::SetQueue(
    grpc::CallbackServerContext* context, const v1::SetQueueRequest* request,
    v1::SetQueueResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "QueueService/SetQueue", [&](const UnaryCall& call) {
        const auto name =
            ParseQueueResourceName("queue.name", request->queue().name());
        if (!name.ok()) return call.Done(name.status());
        const auto settings = ToSettings(request->queue());
        if (!settings.ok()) return call.Done(settings.status());
        Change(ports_, call, core::SetQueue{*name, *settings}, *name,
               response->mutable_queue());
      });
}

grpc::ServerUnaryReactor* QueueService::DeleteQueue(
    grpc::CallbackServerContext* context, const v1::DeleteQueueRequest* request,
    v1::DeleteQueueResponse*) {
  return UnaryCall::Serve(
      ports_, context, "QueueService/DeleteQueue", [&](const UnaryCall& call) {
        const auto name = ParseQueueResourceName("name", request->name());
        if (!name.ok()) return call.Done(name.status());
        ports_.engine->Post(
            core::DeleteQueue{*name},
            [call](const core::Reply& reply) { call.Done(reply.status); });
      });
}

grpc::ServerUnaryReactor* QueueService::ResetQueueHours(
    grpc::CallbackServerContext* context,
    const v1::ResetQueueHoursRequest* request,
    v1::ResetQueueHoursResponse* response) {
  return UnaryCall::Serve(ports_, context, "QueueService/ResetQueueHours",
                          [&](const UnaryCall& call) {
                            const auto name =
                                ParseQueueResourceName("name", request->name());
                            if (!name.ok()) return call.Done(name.status());
                            Change(ports_, call, core::ResetQueueHours{*name},
                                   *name, response->mutable_queue());
                          });
}

}  // namespace trainyard::rpc
