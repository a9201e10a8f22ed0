#include "server/rpc/fleet_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/ask_engine.h"
#include "server/rpc/convert_readings.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/convert_worker.h"
#include "server/rpc/names.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kPageSize = 100;

// The worker with what it tells of itself at the moment.
v1::Worker View(const Ports& ports, const core::Worker& worker) {
  v1::Worker proto = ToProto(worker);
  const auto reading = ports.fleet_readings->Find(worker.name.value());
  if (reading != nullptr) AddReading(*reading, &proto);
  return proto;
}

absl::Status Fill(const Ports& ports, const core::Cluster& cluster,
                  const core::WorkerName& name, v1::Worker* out) {
  const core::Worker* worker = cluster.FindWorker(name);
  if (worker == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(WorkerResourceName(name), " is not known to this server"));
  }
  *out = View(ports, *worker);
  return absl::OkStatus();
}

void FillPage(const Ports& ports, const core::Cluster& cluster,
              const core::WorkerName& after, size_t size,
              v1::ListWorkersResponse* response) {
  const auto& workers = cluster.workers();
  for (auto it = workers.upper_bound(after); it != workers.end(); ++it) {
    if (response->workers_size() == static_cast<int>(size)) {
      response->set_next_page_token(WorkerPageToken(std::prev(it)->first));
      return;
    }
    *response->add_workers() = View(ports, it->second);
  }
}

}  // namespace

grpc::ServerUnaryReactor* FleetService::ListWorkers(
    grpc::CallbackServerContext* context, const v1::ListWorkersRequest* request,
    v1::ListWorkersResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "FleetService/ListWorkers", [&](const UnaryCall& call) {
        const auto size = PageSize(request->page_size(), kPageSize);
        const auto after = ParseWorkerPageToken(request->page_token());
        if (!size.ok() || !after.ok()) {
          call.Done(size.ok() ? after.status() : size.status());
          return;
        }
        AskEngine(ports_, call,
                  [this, after = *after, size = *size,
                   response](const core::Cluster& cluster) {
                    FillPage(ports_, cluster, after, size, response);
                    return absl::OkStatus();
                  });
      });
}

grpc::ServerUnaryReactor* FleetService::GetWorker(
    grpc::CallbackServerContext* context, const v1::GetWorkerRequest* request,
    v1::GetWorkerResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "FleetService/GetWorker", [&](const UnaryCall& call) {
        const auto name = ParseWorkerResourceName("name", request->name());
        if (!name.ok()) {
          call.Done(name.status());
          return;
        }
        AskEngine(ports_, call,
                  [this, name = *name, response](const core::Cluster& cluster) {
                    return Fill(ports_, cluster, name,
                                response->mutable_worker());
                  });
      });
}

grpc::ServerUnaryReactor* FleetService::DrainWorker(
    grpc::CallbackServerContext* context, const v1::DrainWorkerRequest* request,
    v1::DrainWorkerResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "FleetService/DrainWorker", [&](const UnaryCall& call) {
        const auto name = ParseWorkerResourceName("name", request->name());
        if (!name.ok()) {
          call.Done(name.status());
          return;
        }
        ports_.engine->Post(
            core::DrainWorker{*name, !request->undo()},
            [this, call, response, name = *name](const core::Reply& reply) {
              if (!reply.status.ok()) return call.Done(reply.status);
              AskEngine(ports_, call,
                        [this, name, response](const core::Cluster& cluster) {
                          return Fill(ports_, cluster, name,
                                      response->mutable_worker());
                        });
            });
      });
}

grpc::ServerUnaryReactor* FleetService::GetServer(
    grpc::CallbackServerContext* context, const v1::GetServerRequest*,
    v1::GetServerResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "FleetService/GetServer", [&](const UnaryCall& call) {
        response->set_version(ports_.options.version);
        *response->mutable_time() = ToProto(ports_.clock->Now());
        call.Done(absl::OkStatus());
      });
}

}  // namespace trainyard::rpc
