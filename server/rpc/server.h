// The gRPC server: all services, health, reflection, and what they share.
//
//   ASSIGN_OR_RETURN(auto server, Server::Start(options, backends));
//   server->address()      // "127.0.0.1:7070"
//   server->Stop(absl::Seconds(5));
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/tls_files.h"
#include "grpcpp/server.h"
#include "server/auth/authority.h"
#include "server/engine/blobs.h"
#include "server/engine/engine.h"
#include "server/engine/store.h"
#include "server/rpc/artifact_service.h"
#include "server/rpc/auth_service.h"
#include "server/rpc/executor.h"
#include "server/rpc/fleet_service.h"
#include "server/rpc/guard.h"
#include "server/rpc/job_feed.h"
#include "server/rpc/job_service.h"
#include "server/rpc/ports.h"
#include "server/rpc/queue_service.h"
#include "server/rpc/pulse.h"
#include "server/rpc/worker_service.h"
#include "server/telemetry/fleet_readings.h"
#include "server/telemetry/hub.h"
#include "server/telemetry/points.h"
#include "server/telemetry/rpc_metrics.h"

namespace trainyard::rpc {

struct ServerOptions {
  std::string listen = "127.0.0.1:7070";  // HOST:PORT; port 0: any free one
  TlsFiles tls;                           // were checked
  RpcOptions rpc;
  size_t disk_threads = 4;
  absl::Duration pulse = absl::Milliseconds(250);
};

// What the server serves. All outlive it; the engine has started.
struct Backends {
  engine::Engine* engine = nullptr;
  engine::JobReader* jobs = nullptr;
  engine::BlobStore* blobs = nullptr;
  telemetry::Hub* hub = nullptr;
  telemetry::PointStore* points = nullptr;
  telemetry::FleetReadings* fleet_readings = nullptr;
  telemetry::RpcMetrics* metrics = nullptr;
  auth::Authority* authority = nullptr;
  const Clock* clock = nullptr;
};

class Server {
 public:
  // UNAVAILABLE names the address it cannot listen on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      ServerOptions options, const Backends& backends);
  ~Server();  // stops, at once
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, with the port that was chosen.
  const std::string& address() const { return address_; }

  // Takes no more calls, ends the streams, lets calls under way end for at most
  // `patience`, then breaks them. Idempotent.
  void Stop(absl::Duration patience);

 private:
  Server(const ServerOptions& options, const Backends& backends);
  absl::Status Listen(const ServerOptions& options);

  Executor executor_;
  JobFeed feed_;
  Pulse pulse_;
  Guard guard_;
  Ports ports_;
  JobService jobs_;
  FleetService fleet_;
  QueueService queues_;
  WorkerService workers_;
  ArtifactService artifacts_;
  AuthService auth_;
  std::string address_;
  absl::Mutex mutex_;  // one Stop at a time
  std::unique_ptr<grpc::Server> server_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::rpc
