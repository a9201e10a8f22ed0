// The wire's messages from and to the agent's values. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "trainyard/v1/worker_service.pb.h"
#include "workers/agent/core.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

v1::AttemptKey ToProto(const AttemptKey& key);
v1::AttemptStatus ToProto(const AttemptStatus& status);
v1::Device ToProto(const DeviceReport& device);
v1::DeviceUsage ToProto(const std::string& id, const DeviceSample& sample);
google::protobuf::Timestamp ToProto(absl::Time time);

AttemptKey FromProto(const v1::AttemptKey& key);
// Attempts without a key are left out; with an action that is not known they
// are held but not started.
std::vector<DesiredAttempt> FromProto(const v1::SynchronizeResponse& response);

}  // namespace trainyard::agent
