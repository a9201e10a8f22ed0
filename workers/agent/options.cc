#include "workers/agent/options.h"

#include <limits.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "workers/agent/data_roots.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameBytes = 63;
constexpr size_t kMaxLabels = 64;
constexpr int kUsageError = 2;

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

std::string DefaultWorkDir() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') {
    return absl::StrCat(state, "/trainyard-worker");
  }
  const char* home = std::getenv("HOME");
  return absl::StrCat(home != nullptr ? home : "",
                      "/.local/state/trainyard-worker");
}

// Beside this program's own file.
std::string DefaultRunner() {
  std::error_code error;
#ifdef __APPLE__
  char path[PATH_MAX] = "";
  uint32_t size = sizeof(path);
  _NSGetExecutablePath(path, &size);
  const fs::path self = fs::canonical(path, error);
#else
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
#endif
  return (self.parent_path() / "trainyard-runner").string();
}

absl::StatusOr<absl::Duration> ParseGrace(const std::string& flag,
                                          const std::string& text) {
  absl::Duration value;
  if (absl::ParseDuration(text, &value) && value >= absl::ZeroDuration() &&
      value <= absl::Hours(1)) {
    return value;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      flag, " ", text, ": must be a duration from 0s to 1h, such as 10s"));
}

// Flags as they are written.
struct Raw {
  std::optional<std::string> health;
  std::vector<std::string> labels;
  std::string cache_limit = "20GiB";
  std::string grace = "10s";
  std::string checkpoint_grace = "30s";
  std::string cloud = "none";
  std::string idle_limit;
};

absl::StatusOr<HealthKind> ParseHealthKind(const std::string& text) {
  if (text == "ready") return HealthKind::kReady;
  if (text == "live") return HealthKind::kLive;
  return absl::InvalidArgumentError(
      absl::StrCat("--health ", text, ": must be ready or live"));
}

absl::StatusOr<absl::Duration> ParseIdleLimit(const std::string& text) {
  absl::Duration value = absl::InfiniteDuration();
  if (text.empty() ||
      (absl::ParseDuration(text, &value) && value >= absl::Seconds(1))) {
    return value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--idle-limit ", text,
                   ": must be a duration of at least 1s, such as 15m"));
}

absl::Status FinishCloud(const Raw& raw, CommandLine& line) {
  ASSIGN_OR_RETURN(line.spot.cloud, ParseCloud(raw.cloud));
  RETURN_IF_ERROR(CheckMetadataEndpoint(line.spot.endpoint));
  ASSIGN_OR_RETURN(line.idle_limit, ParseIdleLimit(raw.idle_limit));
  if (line.idle_command.empty() || !raw.idle_limit.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "--idle-command: is never run without --idle-limit");
}

absl::Status Finish(const Raw& raw, CommandLine& line) {
  if (line.work_dir.empty()) line.work_dir = DefaultWorkDir();
  if (raw.health) {
    ASSIGN_OR_RETURN(line.health, ParseHealthKind(*raw.health));
    return absl::OkStatus();  // the rest is for workers
  }
  if (line.name.empty()) line.name = WorkerNameFrom(HostName());
  RETURN_IF_ERROR(CheckWorkerName(line.name));
  ASSIGN_OR_RETURN(line.labels, ParseLabels(raw.labels));
  if (!line.security.token_file.empty()) line.security.token.clear();
  RETURN_IF_ERROR(CheckSecurity(line.server, line.security));
  // Whoever checks is not who will run it: his home folder says nothing.
  if (line.data_roots.empty() && !line.check) {
    line.data_roots = DataRoots::Default();
  }
  absl::StatusOr<uint64_t> limit = ParseBytes(raw.cache_limit);
  RETURN_IF_ERROR(WithContext(limit.status(), "--cache-limit"));
  line.cache_limit_bytes = *limit;
  if (line.runner.empty()) line.runner = DefaultRunner();
  if (access(line.runner.c_str(), X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--runner ", line.runner, ": must be a program that can be run"));
  }
  std::error_code error;
  line.runner = fs::absolute(line.runner, error).string();
  ASSIGN_OR_RETURN(line.grace, ParseGrace("--grace", raw.grace));
  ASSIGN_OR_RETURN(line.checkpoint_grace,
                   ParseGrace("--checkpoint-grace", raw.checkpoint_grace));
  return FinishCloud(raw, line);
}

void AddSecurity(CLI::App& app, Security& security) {
  app.add_option("--tls-ca", security.tls_ca,
                 "PEM file of the CA of the server's certificate, or system")
      ->envname("TRAINYARD_TLS_CA");
  app.add_option("--tls-cert", security.tls_cert,
                 "PEM certificate to show to the server; read again when it "
                 "changes")
      ->envname("TRAINYARD_TLS_CERT");
  app.add_option("--tls-key", security.tls_key, "Its private key")
      ->envname("TRAINYARD_TLS_KEY");
  app.add_option("--tls-server-name", security.tls_server_name,
                 "Name in the server's certificate, where --server has another")
      ->envname("TRAINYARD_TLS_SERVER_NAME");
  app.add_option("--token-file", security.token_file,
                 "File that holds this worker's token, or a join token")
      ->envname("TRAINYARD_TOKEN_FILE");
  if (const char* token = std::getenv("TRAINYARD_TOKEN"); token != nullptr) {
    security.token = token;
  }
}

}  // namespace

std::optional<int> ParseCommandLine(int argc, char** argv, CommandLine& line) {
  CLI::App app(
      "Runs training jobs that a Trainyard server places on this machine",
      "trainyard-worker");
  Raw raw;
  app.add_option("--server", line.server, "The server's HOST:PORT")
      ->envname("TRAINYARD_SERVER")
      ->capture_default_str();
  AddSecurity(app, line.security);
  app.add_option(
      "--name", line.name,
      "This worker's name, unique per server (default: from the host name)");
  app.add_option("--label", raw.labels,
                 "KEY=VALUE that jobs can ask for; repeat")
      ->take_all();
  app.add_option(
         "--work-dir", line.work_dir,
         "Folder for attempts and the cache (default: "
         "$XDG_STATE_HOME/trainyard-worker or ~/.local/state/trainyard-worker)")
      ->envname("TRAINYARD_WORK_DIR");
  app.add_option(
         "--data-root", line.data_roots,
         "Folder that jobs may read; repeat (default: the home folder and "
         "the current one)")
      ->take_all();
  app.add_option("--cache-limit", raw.cache_limit,
                 "Most disk for cached inputs")
      ->capture_default_str();
  app.add_option(
      "--runner", line.runner,
      "The runner program (default: trainyard-runner beside this program)");
  app.add_option("--devices", line.devices,
                 "auto, or a list of cpu, cuda and mps")
      ->capture_default_str();
  app.add_option("--log-level", line.log_level,
                 "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app.add_option("--log-format", line.log_format, "text or json")
      ->capture_default_str();
  app.add_option("--grace", raw.grace,
                 "From SIGTERM to SIGKILL when a runner is ended")
      ->capture_default_str();
  app.add_option("--checkpoint-grace", raw.checkpoint_grace,
                 "How long a runner may take for its last checkpoint")
      ->capture_default_str();
  app.add_flag("--check", line.check,
               "Check the options and what they name, and exit with 0, or 2 "
               "and what is wrong");
  app.add_option(
         "--health", raw.health,
         "Exit with 0 if the worker that uses --work-dir is ready (connected) "
         "or live (its jobs go on, server or not), else say why not: for "
         "container health checks")
      ->expected(0, 1)
      ->default_str("ready")
      ->type_name("ready|live");
  app.add_option("--cloud", raw.cloud,
                 "Whose spot notices make it leave: none, aws, gcp or azure")
      ->capture_default_str();
  app.add_option("--metadata-endpoint", line.spot.endpoint,
                 "The cloud's metadata service")
      ->capture_default_str();
  app.add_option("--idle-limit", raw.idle_limit,
                 "Leave after so long without work, such as 15m "
                 "(default: never)");
  app.add_option("--idle-command", line.idle_command,
                 "What sh runs then, such as \"shutdown -h now\"");
  app.set_version_flag("--version", "trainyard-worker " TRAINYARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsageError;
  }
  if (const absl::Status status = Finish(raw, line); !status.ok()) {
    std::fprintf(stderr, "trainyard-worker: %s\n",
                 std::string(status.message()).c_str());
    return kUsageError;
  }
  return std::nullopt;
}

std::string WorkerNameFrom(absl::string_view host) {
  std::string name;
  for (const char c : host.substr(0, kMaxNameBytes)) {
    name += absl::ascii_isalnum(static_cast<unsigned char>(c))
                ? absl::ascii_tolower(static_cast<unsigned char>(c))
                : '-';
  }
  return name.empty() ? "worker" : name;
}

absl::Status CheckWorkerName(const std::string& name) {
  const bool ok =
      !name.empty() && name.size() <= kMaxNameBytes &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
          std::string::npos;
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--name ", name, ": must be 1 to 63 lower-case letters, digits and '-'"));
}

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& labels) {
  std::map<std::string, std::string> parsed;
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    const std::string key = label.substr(0, equals);
    const std::string value =
        equals == std::string::npos ? "" : label.substr(equals + 1);
    if (equals == std::string::npos || key.empty() ||
        key.size() > kMaxNameBytes || value.size() > kMaxNameBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("--label ", label,
                       ": must be KEY=VALUE with at most 63 characters each"));
    }
    if (!parsed.emplace(key, value).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--label ", label, ": \"", key, "\" is there twice"));
    }
  }
  if (parsed.size() > kMaxLabels) {
    return absl::InvalidArgumentError("--label: at most 64");
  }
  return parsed;
}

}  // namespace trainyard::agent
