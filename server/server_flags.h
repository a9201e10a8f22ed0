// The command line of trainyard-server.
//
//   const absl::StatusOr<ServerFlags> flags = ParseFlags(argc, argv);
//   if (!flags->exit_text.empty()) … print it and exit with 0 …
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/tls_files.h"
#include "server/auth/authority.h"
#include "server/core/queue_order.h"

namespace trainyard {

struct ServerFlags {
  std::string listen = "127.0.0.1:7070";
  std::string state_dir;  // never empty after ParseFlags
  std::string metrics_address = "127.0.0.1:9464";
  std::string log_level = "info";
  std::string log_format = "text";
  absl::Duration worker_lease = absl::Seconds(30);
  core::OrderPolicy order;
  uint64_t artifact_limit_bytes = 0;    // 0: as the disk allows
  TlsFiles tls;                         // of both ports
  auth::Mode auth = auth::Mode::kAuto;  // kOn or kOff once it was decided
  std::string bootstrap_token_hash_file;
  bool insecure = false;
  bool health = false;    // only ask whether a server is ready
  bool check = false;     // only check the command line and its files
  std::string exit_text;  // of --help, --version and --describe-metrics
};

// INVALID_ARGUMENT: how the command line is wrong. FAILED_PRECONDITION: it
// would open the server to everyone.
absl::StatusOr<ServerFlags> ParseFlags(int argc, const char* const* argv);

// Of --check: whether the files that the command line names can be read.
// INVALID_ARGUMENT names the flag.
absl::Status CheckFiles(const ServerFlags& flags);

}  // namespace trainyard
