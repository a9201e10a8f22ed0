// The server, whole: opens the state folder, starts the engine, serves.
//
//   ASSIGN_OR_RETURN(auto app, App::Start(flags));
//   app->address()    // "127.0.0.1:7070"
//   app->Stop();
//
// Not thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/adapters/cluster_collector.h"
#include "server/adapters/file_blobs.h"
#include "server/adapters/http_port.h"
#include "server/adapters/prometheus_metrics.h"
#include "server/adapters/sqlite_points.h"
#include "server/adapters/sqlite_store.h"
#include "server/adapters/sqlite_tokens.h"
#include "server/adapters/state_lock.h"
#include "server/auth/authority.h"
#include "server/engine/engine.h"
#include "server/rpc/server.h"
#include "server/server_flags.h"
#include "server/telemetry/fleet_readings.h"
#include "server/telemetry/hub.h"
#include "server/telemetry/job_readings.h"

namespace trainyard {

class App {
 public:
  // FAILED_PRECONDITION: another server has the state folder.
  static absl::StatusOr<std::unique_ptr<App>> Start(const ServerFlags& flags);
  ~App();  // stops
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  const std::string& address() const { return server_->address(); }
  // Empty: off.
  std::string metrics_address() const {
    return http_ == nullptr ? "" : http_->address();
  }

  // Whether the engine takes a question and answers it within `patience`.
  // Thread-safe, but not beside Stop.
  bool Responds(absl::Duration patience) const;

  // Ends streams and calls, then the engine, then closes the files. Takes a few
  // seconds at most. Idempotent.
  void Stop();

 private:
  App() = default;
  absl::Status Open(const ServerFlags& flags);
  absl::Status Serve(const ServerFlags& flags);
  absl::Status OpenTokens(const ServerFlags& flags);
  absl::Status OpenHttp(const ServerFlags& flags);
  // Whether it serves and its store works.
  absl::Status Ready();

  // In the order of their making; each may use those above it.
  std::unique_ptr<adapters::StateLock> lock_;
  std::unique_ptr<adapters::PrometheusMetrics> metrics_;
  std::unique_ptr<adapters::SqliteStore> store_;
  std::unique_ptr<adapters::SqlitePoints> points_;
  std::unique_ptr<adapters::FileBlobs> blobs_;
  std::unique_ptr<adapters::SqliteTokens> tokens_;
  std::unique_ptr<auth::Authority> authority_;
  telemetry::FleetReadings fleet_readings_;
  telemetry::JobReadings job_readings_;
  std::unique_ptr<engine::Engine> engine_;
  std::shared_ptr<adapters::ClusterCollector> collector_;
  std::unique_ptr<telemetry::Hub> hub_;
  std::unique_ptr<rpc::Server> server_;
  std::atomic<bool> serving_ = false;
  // Last: its threads read the store and the metrics.
  std::unique_ptr<adapters::HttpPort> http_;
};

}  // namespace trainyard
