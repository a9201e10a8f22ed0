#include "server/rpc/server.h"

#include <grpc/support/log.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace trainyard::rpc {
namespace {

// Above the 64 MiB of a batch.
constexpr int kMaxReceiveBytes = 65 << 20;
// What messages under way may hold in all.
constexpr size_t kMaxMemory = size_t{1} << 30;
// Calls under way on one connection.
constexpr int kMaxCalls = 4096;
constexpr int kKeepaliveMillis = 20'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
// Clients may ping as often without being sent away.
constexpr int kMinClientPingMillis = 5'000;

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCalls);
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

// TLS 1.2 or newer; files that change are read again.
constexpr unsigned kReloadSeconds = 5;

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(const TlsFiles& tls) {
  if (!tls.on()) return grpc::InsecureServerCredentials();
  namespace ge = grpc::experimental;
  ge::TlsServerCredentialsOptions options(
      std::make_shared<ge::FileWatcherCertificateProvider>(
          tls.key, tls.cert, tls.client_ca, kReloadSeconds));
  options.watch_identity_key_cert_pairs();
  if (!tls.client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return ge::TlsServerCredentials(options);
}

// gRPC's own remarks are for who looks into gRPC: what our users need to know
// is said by us.
void LogGrpcAsDebug() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_function([](gpr_log_func_args* line) {
    spdlog::debug("gRPC: {}", line->message);
  });
}

Ports MakePorts(const ServerOptions& options, const Backends& backends,
                Guard* guard, Executor* executor, JobFeed* feed, Pulse* pulse) {
  Ports ports;
  ports.engine = backends.engine;
  ports.jobs = backends.jobs;
  ports.blobs = backends.blobs;
  ports.hub = backends.hub;
  ports.points = backends.points;
  ports.fleet_readings = backends.fleet_readings;
  ports.metrics = backends.metrics;
  ports.clock = backends.clock;
  ports.authority = backends.authority;
  ports.guard = guard;
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
      guard_(backends.authority, backends.clock),
      ports_(
          MakePorts(options, backends, &guard_, &executor_, &feed_, &pulse_)),
      jobs_(ports_),
      fleet_(ports_),
      queues_(ports_),
      workers_(ports_),
      artifacts_(ports_, ArtifactServiceOptions{}),
      auth_(ports_) {}

Server::~Server() { Stop(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    ServerOptions options, const Backends& backends) {
  LogGrpcAsDebug();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto server = std::unique_ptr<Server>(new Server(options, backends));
  RETURN_IF_ERROR(server->Listen(options));
  return server;
}

absl::Status Server::Listen(const ServerOptions& options) {
  const std::string& listen = options.listen;
  if (const auto at = ParseHostPort(listen); !at.ok()) {
    return WithContext(at.status(), "--listen");
  }
  grpc::ServerBuilder builder;
  Configure(builder);
  int port = 0;
  builder.AddListeningPort(listen, MakeCredentials(options.tls), &port);
  builder.RegisterService(&jobs_);
  builder.RegisterService(&fleet_);
  builder.RegisterService(&queues_);
  builder.RegisterService(&workers_);
  builder.RegisterService(&artifacts_);
  builder.RegisterService(&auth_);
  absl::MutexLock lock(&mutex_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    server_ = nullptr;
    return absl::UnavailableError(absl::StrCat(
        "--listen: cannot listen on ", listen,
        ": another program has the port, or the address is none of this "
        "machine's; choose another, or port 0 for any free one"));
  }
  address_ = absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
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
