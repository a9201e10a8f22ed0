// The Apple GPU, as IOKit tells of it.
//
//   Devices gpus = FindMpsDevices();   // none but on Apple silicon
//
// Not run: no macOS machine was at hand.
#pragma once

#include "workers/agent/devices/device.h"

namespace trainyard::agent {

Devices FindMpsDevices();

}  // namespace trainyard::agent
