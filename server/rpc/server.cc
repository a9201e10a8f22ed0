#include "server/rpc/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"

namespace trainyard::rpc {
namespace {

// Above the 64 MiB of a batch.
constexpr int kMaxReceiveBytes = 65 << 20;
// What messages under way may hold in all.
constexpr size_t kMaxMemory = size_t{1} << 30;
constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// Clients may ping as often without being sent away.
constexpr int kMinClientPingMillis = 5'000;

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetMaxSendMessageSize(-1);
  builder.SetResourceQuota(
      grpc::ResourceQuota("trainyard-server").Resize(kMaxMemory));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      kMinClientPingMillis);
  // A second server on the port would get some of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

Ports MakePorts(const ServerOptions& options, const Backends& backends,
                Executor* executor, JobFeed* feed, Pulse* pulse) {
  Ports ports;
  ports.engine = backends.engine;
  ports.jobs = backends.jobs;
  ports.blobs = backends.blobs;
  ports.hub = backends.hub;
  ports.points = backends.points;
  ports.fleet_readings = backends.fleet_readings;
  ports.metrics = backends.metrics;
  ports.clock = backends.clock;
  ports.executor = executor;
  ports.feed = feed;
  ports.pulse = pulse;
  ports.options = options.rpc;
  return ports;
}

ExecutorOptions ForDisk(size_t threads) {
  ExecutorOptions options;
  options.threads = threads;
  options.queue_limit = 65'536;
  return options;
}

}  // namespace

Server::Server(const ServerOptions& options, const Backends& backends)
    : executor_(ForDisk(options.disk_threads)),
      feed_(backends.engine, backends.jobs),
      pulse_(options.pulse, backends.clock),
      ports_(MakePorts(options, backends, &executor_, &feed_, &pulse_)),
      jobs_(ports_),
      fleet_(ports_),
      workers_(ports_),
      artifacts_(ports_, ArtifactServiceOptions{}) {}

Server::~Server() { Stop(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    ServerOptions options, const Backends& backends) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto server = std::unique_ptr<Server>(new Server(options, backends));
  RETURN_IF_ERROR(server->Listen(options.listen));
  return server;
}

absl::Status Server::Listen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon + 1 == listen.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", listen,
                     "\": must be HOST:PORT, such as 127.0.0.1:7070"));
  }
  grpc::ServerBuilder builder;
  Configure(builder);
  int port = 0;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&jobs_);
  builder.RegisterService(&fleet_);
  builder.RegisterService(&workers_);
  builder.RegisterService(&artifacts_);
  absl::MutexLock lock(&mutex_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    server_ = nullptr;
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", listen,
        ": is another program there? choose another --listen address"));
  }
  address_ = absl::StrCat(listen.substr(0, colon), ":", port);
  return absl::OkStatus();
}

void Server::Stop(absl::Duration patience) {
  absl::MutexLock lock(&mutex_);
  if (server_ != nullptr) {
    server_->GetHealthCheckService()->SetServingStatus(false);
    pulse_.CloseAll();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + patience));
    server_->Wait();
    server_ = nullptr;
  }
  pulse_.Stop();
  feed_.Stop();
  executor_.Stop();
}

}  // namespace trainyard::rpc
