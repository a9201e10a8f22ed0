// Where the server is: --server, else TRAINYARD_SERVER, else the config file
// ($TRAINYARD_CONFIG or ~/.config/trainyard/config.yaml), else 127.0.0.1:7070.
//
//   # config.yaml
//   server: trainyard.lab:7070
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/trainctl/console.h"

namespace trainyard::trainctl {

// `flag` is empty where --server was not given. INVALID_ARGUMENT names where a
// wrong address or config file came from.
absl::StatusOr<std::string> ServerAddress(const Console& console,
                                          const std::string& flag);

}  // namespace trainyard::trainctl
