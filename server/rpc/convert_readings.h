// Readings of machines and attempts between the wire and telemetry. What is no
// possible figure (not a number, a negative power) counts as not set: it is not
// worth the loss of the rest.
//
//   readings->Set(worker, std::make_shared<telemetry::WorkerReading>(
//                             ToReading(request)));
#pragma once

#include "server/telemetry/readings.h"
#include "trainyard/v1/fleet.pb.h"
#include "trainyard/v1/telemetry.pb.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

// Devices of an attempt whose readings are kept; a job asks for 64 at most.
inline constexpr int kMaxAttemptDevices = 64;

// The request was checked: its devices are bounded.
telemetry::WorkerReading ToReading(const v1::SynchronizeRequest& request);
// Devices without a proper id, and twice with the same, are left out.
telemetry::PointReading ToReading(const v1::MetricPoint& point);

// Fills in what the worker's devices and disk tell.
void AddReading(const telemetry::WorkerReading& reading, v1::Worker* worker);

}  // namespace trainyard::rpc
