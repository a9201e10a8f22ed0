// Which devices this worker offers.
//
//   ASSIGN_OR_RETURN(Devices devices, FindDevices("auto"));
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "workers/agent/devices/device.h"

namespace trainyard::agent {

// wanted: "auto" for all that are here, or a list such as "cpu,cuda".
// INVALID_ARGUMENT: a kind that does not exist. NOT_FOUND: one that is asked
// for by name is not here.
absl::StatusOr<Devices> FindDevices(const std::string& wanted);

}  // namespace trainyard::agent
