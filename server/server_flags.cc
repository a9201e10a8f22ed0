#include "server/server_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "base/private_file.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "server/telemetry/metric_table.h"

namespace trainyard {
namespace {

// As the command line has them, before they are checked.
struct RawFlags {
  std::string worker_lease = "30s";
  std::string ageing = "10m";
  std::string share_half_life = "24h";
  std::string reserve_after = "5m";
  std::string artifact_limit;
  std::string auth = "auto";
  bool describe_metrics = false;
};

absl::Status ReadDuration(absl::string_view flag, const std::string& text,
                          absl::Duration least, absl::Duration most,
                          absl::string_view want, absl::Duration* duration) {
  if (absl::ParseDuration(text, duration) && *duration >= least &&
      *duration <= most) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", text, ": must be ", want));
}

void Describe(CLI::App& app, ServerFlags* flags, RawFlags* raw) {
  app.add_option("--listen", flags->listen,
                 "HOST:PORT for gRPC; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--state-dir", flags->state_dir,
                 "folder for all that lasts: jobs, logs, metrics, artifacts "
                 "[$XDG_STATE_HOME/trainyard or ~/.local/state/trainyard]");
  app.add_option("--metrics-address", flags->metrics_address,
                 "HOST:PORT for /metrics, /healthz and /readyz, or off")
      ->capture_default_str();
  app.add_option("--log-level", flags->log_level,
                 "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app.add_option("--log-format", flags->log_format, "text or json")
      ->capture_default_str();
  app.add_option("--worker-lease", raw->worker_lease,
                 "how long a worker that is not heard from keeps its jobs")
      ->capture_default_str();
  app.add_option("--ageing", raw->ageing,
                 "by which a waiting job's priority has grown by one")
      ->capture_default_str();
  app.add_option("--share-half-life", raw->share_half_life,
                 "in which what a queue or user had counts half")
      ->capture_default_str();
  app.add_option("--reserve-after", raw->reserve_after,
                 "how long a job that needs several devices waits before free "
                 "ones are kept for it")
      ->capture_default_str();
  app.add_option(
      "--artifact-limit", raw->artifact_limit,
      "most bytes of artifacts, such as 500GiB [as the disk allows]");
  app.add_option("--tls-cert", flags->tls.cert,
                 "PEM certificate chain of this server, for both ports; read "
                 "again when it changes");
  app.add_option("--tls-key", flags->tls.key, "its private key");
  app.add_option("--tls-client-ca", flags->tls.client_ca,
                 "PEM file of CAs: clients must then show a certificate by one "
                 "of them");
  app.add_option("--auth", raw->auth,
                 "whether calls need a token: on, off, or auto: once there is "
                 "a token, or --listen is beyond this machine with TLS")
      ->capture_default_str();
  app.add_option("--bootstrap-token-hash-file",
                 flags->bootstrap_token_hash_file,
                 "file of trainctl setup with the hash of the first admin's "
                 "token");
  app.add_flag("--describe-metrics", raw->describe_metrics,
               "print a page on all metrics and exit");
  app.add_flag("--insecure", flags->insecure,
               "allow --listen and --metrics-address beyond this machine "
               "without TLS");
  app.add_flag("--check", flags->check,
               "check the options and the files they name, and exit with 0, "
               "or 2 and what is wrong");
  app.add_flag("--health", flags->health,
               "ask the server at --metrics-address whether it is ready, and "
               "exit with 0 or 1");
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

absl::Status CheckTls(const TlsFiles& tls) {
  if (tls.cert.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key: must both be set, or neither");
  }
  if (tls.client_ca.empty() || tls.on()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--tls-client-ca: needs --tls-cert and --tls-key too");
}

// A port that others reach needs TLS, unless the operator said otherwise.
absl::Status CheckAddress(absl::string_view flag, const std::string& address,
                          const ServerFlags& flags) {
  if (const auto parsed = ParseHostPort(address); !parsed.ok()) {
    return WithContext(parsed.status(), flag);
  }
  if (IsLoopback(address) || flags.tls.on() || flags.insecure) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      flag, ": ", address,
      " can be reached by other machines, and there is no TLS: give --tls-cert "
      "and --tls-key (trainctl setup makes them), or listen on 127.0.0.1 and "
      "reach it through an SSH tunnel, or give --insecure where everyone on "
      "the network may run jobs here"));
}

absl::Status CheckAuth(const std::string& text, ServerFlags* flags) {
  if (text == "on") {
    flags->auth = auth::Mode::kOn;
  } else if (text == "off") {
    flags->auth = auth::Mode::kOff;
  } else if (text != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("--auth: ", text, ": must be on, off or auto"));
  }
  const bool exposed = !IsLoopback(flags->listen);
  // --insecure is the operator's word that the network is his alone.
  if (text == "auto" && exposed && flags->tls.on())
    flags->auth = auth::Mode::kOn;
  if (text != "off" || !exposed || flags->insecure) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--auth off: --listen ", flags->listen,
      " can be reached by other machines, and everyone there could run jobs: "
      "give --insecure too if that is meant"));
}

absl::Status Check(const RawFlags& raw, ServerFlags* flags) {
  if (flags->state_dir.empty()) {
    ASSIGN_OR_RETURN(flags->state_dir, DefaultStateDir());
  }
  RETURN_IF_ERROR(ReadDuration(
      "--worker-lease", raw.worker_lease, absl::Seconds(1), absl::Hours(24),
      "1s to 24h, such as 30s or 2m", &flags->worker_lease));
  RETURN_IF_ERROR(ReadDuration(
      "--ageing", raw.ageing, absl::Seconds(1), core::kNeverAges,
      "1s to 876000h (a hundred years), such as 10m", &flags->order.ageing));
  RETURN_IF_ERROR(ReadDuration(
      "--share-half-life", raw.share_half_life, absl::Minutes(1),
      core::kNeverAges, "1m to 876000h, such as 24h", &flags->order.half_life));
  RETURN_IF_ERROR(ReadDuration("--reserve-after", raw.reserve_after,
                               absl::ZeroDuration(), core::kNeverAges,
                               "0s to 876000h, such as 5m",
                               &flags->order.reserve_after));
  if (!raw.artifact_limit.empty()) {
    const auto bytes = ParseBytes(raw.artifact_limit);
    if (!bytes.ok()) return WithContext(bytes.status(), "--artifact-limit");
    flags->artifact_limit_bytes = *bytes;
  }
  RETURN_IF_ERROR(CheckTls(flags->tls));
  RETURN_IF_ERROR(CheckAddress("--listen", flags->listen, *flags));
  RETURN_IF_ERROR(CheckAuth(raw.auth, flags));
  if (flags->metrics_address == "off") return absl::OkStatus();
  return CheckAddress("--metrics-address", flags->metrics_address, *flags);
}

constexpr size_t kMaxFileBytes = 1024 * 1024;

}  // namespace

absl::Status CheckFiles(const ServerFlags& flags) {
  const std::pair<const char*, const std::string*> files[] = {
      {"--tls-cert", &flags.tls.cert},
      {"--tls-key", &flags.tls.key},
      {"--tls-client-ca", &flags.tls.client_ca},
      {"--bootstrap-token-hash-file", &flags.bootstrap_token_hash_file}};
  for (const auto& [flag, path] : files) {
    if (path->empty()) continue;
    const absl::Status read = ReadSmallFile(*path, kMaxFileBytes).status();
    if (read.ok()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", std::string(read.message())));
  }
  return absl::OkStatus();
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
