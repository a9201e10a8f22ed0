#include "server/server_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "server/telemetry/metric_table.h"

namespace trainyard {
namespace {

// As the command line has them, before they are checked.
struct RawFlags {
  std::string worker_lease = "30s";
  std::string artifact_limit;
  bool describe_metrics = false;
};

void Describe(CLI::App& app, ServerFlags* flags, RawFlags* raw) {
  app.add_option("--listen", flags->listen,
                 "HOST:PORT for gRPC; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--state-dir", flags->state_dir,
                 "folder for all that lasts: jobs, logs, metrics, artifacts "
                 "[$XDG_STATE_HOME/trainyard or ~/.local/state/trainyard]");
  app.add_option("--metrics-address", flags->metrics_address,
                 "HOST:PORT for Prometheus' /metrics, or off")
      ->capture_default_str();
  app.add_option("--log-level", flags->log_level,
                 "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app.add_option("--log-format", flags->log_format, "text or json")
      ->capture_default_str();
  app.add_option("--worker-lease", raw->worker_lease,
                 "how long a worker that is not heard from keeps its jobs")
      ->capture_default_str();
  app.add_option(
      "--artifact-limit", raw->artifact_limit,
      "most bytes of artifacts, such as 500GiB [as the disk allows]");
  app.add_flag("--describe-metrics", raw->describe_metrics,
               "print a page on all metrics and exit");
  app.add_flag("--insecure", flags->insecure,
               "allow --listen beyond this machine without TLS");
}

absl::StatusOr<std::string> DefaultStateDir() {
  if (const char* state = std::getenv("XDG_STATE_HOME");
      state != nullptr && state[0] == '/') {
    return absl::StrCat(state, "/trainyard");
  }
  if (const char* home = std::getenv("HOME");
      home != nullptr && home[0] == '/') {
    return absl::StrCat(home, "/.local/state/trainyard");
  }
  return absl::InvalidArgumentError(
      "--state-dir: not set, and neither XDG_STATE_HOME nor HOME says where it "
      "should be");
}

absl::Status Check(const RawFlags& raw, ServerFlags* flags) {
  if (flags->state_dir.empty()) {
    ASSIGN_OR_RETURN(flags->state_dir, DefaultStateDir());
  }
  if (!absl::ParseDuration(raw.worker_lease, &flags->worker_lease) ||
      flags->worker_lease < absl::Seconds(1) ||
      flags->worker_lease > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--worker-lease: ", raw.worker_lease,
                     ": must be 1s to 24h, such as 30s or 2m"));
  }
  if (!raw.artifact_limit.empty()) {
    const auto bytes = ParseBytes(raw.artifact_limit);
    if (!bytes.ok()) return WithContext(bytes.status(), "--artifact-limit");
    flags->artifact_limit_bytes = *bytes;
  }
  if (IsLoopback(flags->listen) || flags->insecure) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--listen: ", flags->listen,
      " would let everyone on the network run programs here: this version has "
      "no TLS and no accounts yet. Listen on 127.0.0.1 and reach it through an "
      "SSH tunnel or a proxy, or give --insecure where the network is yours "
      "alone"));
}

}  // namespace

bool IsLoopback(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" ||
         (absl::StartsWith(host, "127.") &&
          host.find_first_not_of("0123456789.") == std::string::npos);
}

absl::StatusOr<ServerFlags> ParseFlags(int argc, const char* const* argv) {
  ServerFlags flags;
  RawFlags raw;
  CLI::App app(
      "The Trainyard server: queues training jobs and sends them to "
      "workers.",
      "trainyard-server");
  app.set_version_flag("--version", "trainyard-server " TRAINYARD_VERSION);
  Describe(app, &flags, &raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    flags.exit_text = app.help();
    return flags;
  } catch (const CLI::CallForVersion& version) {
    flags.exit_text = absl::StrCat(version.what(), "\n");
    return flags;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; trainyard-server --help says more"));
  }
  if (raw.describe_metrics) {
    flags.exit_text = telemetry::MetricsPage();
    return flags;
  }
  RETURN_IF_ERROR(Check(raw, &flags));
  return flags;
}

}  // namespace trainyard
