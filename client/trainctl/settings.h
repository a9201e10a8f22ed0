// Which server trainctl talks to, and how: from flags, else the environment,
// else the config file ($TRAINYARD_CONFIG or ~/.config/trainyard/config.yaml),
// else 127.0.0.1:7070 in plain text.
//
//   # config.yaml: one server, or several by name
//   context: lab
//   contexts:
//     lab:
//       server: yard.lab:7070
//       tls_ca: lab/ca.crt        # relative to this file
//       tls_cert: lab/client.crt
//       tls_key: lab/client.key
//       token_file: lab/admin.token
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/trainctl/console.h"
#include "proto/channel/channel.h"

namespace trainyard::trainctl {

struct Settings {
  std::string server = "127.0.0.1:7070";
  Security security;
};

// Of the command line; empty where a flag was not given.
struct SettingFlags {
  std::string context;
  Settings set = {.server = "", .security = {}};
};

// The environment has TRAINYARD_SERVER, _CONTEXT, _TLS_CA, _TLS_CERT, _TLS_KEY,
// _TLS_SERVER_NAME, _TOKEN and _TOKEN_FILE. What the config file says of TLS
// and tokens is for the server it names: where flag or environment name
// another one, it is left out. INVALID_ARGUMENT and NOT_FOUND name where a
// wrong value came from.
absl::StatusOr<Settings> ReadSettings(const Console& console,
                                      const SettingFlags& flags);

}  // namespace trainyard::trainctl
