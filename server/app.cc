#include "server/app.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/adapters/file.h"
#include "server/adapters/tls_context.h"

namespace trainyard {
namespace {

constexpr size_t kMaxBootstrapBytes = 4096;
// How long calls under way may take when the server stops.
constexpr absl::Duration kPatience = absl::Seconds(2);

// A worker is heard often enough to miss a few within its lease.
absl::Duration HeartbeatInterval(absl::Duration lease) {
  return std::clamp(lease / 6, absl::Milliseconds(150), absl::Seconds(5));
}

void SayWhoMayCall(const ServerFlags& flags, const auth::Authority& authority) {
  if (!authority.enabled()) {
    if (IsLoopback(flags.listen)) return;
    spdlog::warn(
        "no tokens are needed, and other machines can reach this server: "
        "everyone there may run jobs here{}",
        flags.tls.client_ca.empty() ? "" : ", with a client certificate");
    return;
  }
  spdlog::info("calls need a token");
  if (authority.List("", 1).empty()) {
    spdlog::warn(
        "there is no token yet, so nobody may call: run trainctl setup and "
        "give --bootstrap-token-hash-file");
  }
  if (!flags.tls.on() && !IsLoopback(flags.listen)) {
    spdlog::warn("tokens cross the network in plain text: there is no TLS");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Start(const ServerFlags& flags) {
  auto app = std::unique_ptr<App>(new App);
  RETURN_IF_ERROR(app->Open(flags));
  RETURN_IF_ERROR(app->Serve(flags));
  return app;
}

absl::Status App::Open(const ServerFlags& flags) {
  const std::string& folder = flags.state_dir;
  RETURN_IF_ERROR(adapters::MakeFolder(folder));
  ASSIGN_OR_RETURN(adapters::StateLock lock, adapters::StateLock::Take(folder));
  lock_ = std::make_unique<adapters::StateLock>(std::move(lock));
  if (flags.tls.on()) {
    RETURN_IF_ERROR(adapters::CheckTlsFiles(flags.tls, RealClock()->Now()));
  }
  metrics_ = std::make_unique<adapters::PrometheusMetrics>(TRAINYARD_VERSION);
  ASSIGN_OR_RETURN(store_, adapters::SqliteStore::Open(
                               absl::StrCat(folder, "/jobs.db"), {}));
  ASSIGN_OR_RETURN(points_, adapters::SqlitePoints::Open(
                                absl::StrCat(folder, "/telemetry.db"), {}));
  adapters::FileBlobsOptions blob_options;
  blob_options.limit_bytes = flags.artifact_limit_bytes;
  ASSIGN_OR_RETURN(blobs_,
                   adapters::FileBlobs::Open(absl::StrCat(folder, "/artifacts"),
                                             blob_options, RealClock()));
  RETURN_IF_ERROR(OpenTokens(flags));
  return OpenHttp(flags);
}

absl::Status App::OpenTokens(const ServerFlags& flags) {
  ASSIGN_OR_RETURN(tokens_, adapters::SqliteTokens::Open(
                                absl::StrCat(flags.state_dir, "/tokens.db")));
  auth::AuthorityOptions options;
  options.mode = flags.auth;
  ASSIGN_OR_RETURN(authority_,
                   auth::Authority::Load(options, tokens_.get(), RealClock()));
  if (!flags.bootstrap_token_hash_file.empty()) {
    const std::string context = absl::StrCat("--bootstrap-token-hash-file: ",
                                             flags.bootstrap_token_hash_file);
    const auto file =
        adapters::File::Open(flags.bootstrap_token_hash_file, O_RDONLY);
    if (!file.ok()) return WithContext(file.status(), context);
    const auto text = file->ReadAt(0, kMaxBootstrapBytes);
    if (!text.ok()) return WithContext(text.status(), context);
    RETURN_IF_ERROR(WithContext(authority_->Bootstrap(*text), context));
  }
  SayWhoMayCall(flags, *authority_);
  return absl::OkStatus();
}

absl::Status App::OpenHttp(const ServerFlags& flags) {
  if (flags.metrics_address == "off") return absl::OkStatus();
  adapters::HttpPortOptions options;
  options.address = flags.metrics_address;
  options.tls = flags.tls;
  adapters::HttpPages pages;
  pages.metrics = [this] { return metrics_->Render(); };
  pages.ready = [this] { return Ready(); };
  ASSIGN_OR_RETURN(http_, adapters::HttpPort::Start(options, std::move(pages)));
  return absl::OkStatus();
}

absl::Status App::Ready() {
  if (!serving_) return absl::UnavailableError("not serving");
  return store_->ListJobs({}, core::JobId(), 1).status();
}

absl::Status App::Serve(const ServerFlags& flags) {
  engine::EngineOptions engine_options;
  engine_options.policy.worker_lease = flags.worker_lease;
  engine_options.policy.order = flags.order;
  engine_ = std::make_unique<engine::Engine>(engine_options, RealClock(),
                                             store_.get(), metrics_.get());
  RETURN_IF_ERROR(engine_->Start());
  hub_ = std::make_unique<telemetry::Hub>(
      telemetry::HubOptions(), points_.get(),
      [this](const telemetry::Entry& entry) {
        job_readings_.Add(entry.attempt, *entry.reading, RealClock()->Now());
      });
  collector_ = std::make_shared<adapters::ClusterCollector>(
      adapters::ClusterCollectorOptions{.state_dir = flags.state_dir},
      RealClock(), engine_.get(), &fleet_readings_, &job_readings_);
  metrics_->Add(collector_);
  rpc::ServerOptions options;
  options.listen = flags.listen;
  options.tls = flags.tls;
  options.rpc.version = TRAINYARD_VERSION;
  options.rpc.heartbeat_interval = HeartbeatInterval(flags.worker_lease);
  rpc::Backends backends;
  backends.engine = engine_.get();
  backends.jobs = store_.get();
  backends.blobs = blobs_.get();
  backends.hub = hub_.get();
  backends.points = points_.get();
  backends.fleet_readings = &fleet_readings_;
  backends.metrics = metrics_.get();
  backends.authority = authority_.get();
  backends.clock = RealClock();
  ASSIGN_OR_RETURN(server_, rpc::Server::Start(options, backends));
  serving_ = true;
  return absl::OkStatus();
}

bool App::Responds(absl::Duration patience) const {
  const absl::Time deadline = absl::Now() + patience;
  // Outlives this call when the engine is late.
  const auto answered = std::make_shared<absl::Notification>();
  while (!engine_->Read(
      [answered](const core::Cluster&) { answered->Notify(); })) {
    // Its inbox is full: it may still be working it off.
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return answered->WaitForNotificationWithTimeout(deadline - absl::Now());
}

App::~App() { Stop(); }

void App::Stop() {
  serving_ = false;
  if (server_ != nullptr) server_->Stop(kPatience);
  if (collector_ != nullptr) collector_->Detach();
  if (hub_ != nullptr) hub_->Stop();
  if (engine_ != nullptr) engine_->Stop();
  http_ = nullptr;
}

}  // namespace trainyard
