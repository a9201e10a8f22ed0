// What the services are built on. main (or a test) owns all of it and keeps it
// longer than the gRPC server.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "server/auth/authority.h"
#include "server/engine/blobs.h"
#include "server/engine/engine.h"
#include "server/engine/store.h"
#include "server/rpc/executor.h"
#include "server/rpc/guard.h"
#include "server/rpc/job_feed.h"
#include "server/rpc/pulse.h"
#include "server/telemetry/fleet_readings.h"
#include "server/telemetry/hub.h"
#include "server/telemetry/points.h"
#include "server/telemetry/rpc_metrics.h"

namespace trainyard::rpc {

// How the services behave.
struct RpcOptions {
  std::string version = "unknown";
  // Longest pause between two messages of a stream that follows something.
  absl::Duration sign_of_life = absl::Seconds(15);
  // How long late lines and points are waited for after a job is final.
  absl::Duration telemetry_grace = absl::Seconds(2);
  // Longest pause between two reports of a worker; a stream on which a worker
  // said nothing for three of them is ended.
  absl::Duration heartbeat_interval = absl::Seconds(5);
};

struct Ports {
  engine::Engine* engine = nullptr;
  engine::JobReader* jobs = nullptr;
  engine::BlobStore* blobs = nullptr;
  telemetry::Hub* hub = nullptr;
  telemetry::PointStore* points = nullptr;
  telemetry::FleetReadings* fleet_readings = nullptr;
  telemetry::RpcMetrics* metrics = nullptr;
  const Clock* clock = nullptr;
  auth::Authority* authority = nullptr;
  Guard* guard = nullptr;
  Executor* executor = nullptr;
  JobFeed* feed = nullptr;
  Pulse* pulse = nullptr;
  RpcOptions options;
};

}  // namespace trainyard::rpc
