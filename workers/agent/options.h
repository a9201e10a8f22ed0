// The worker's command line.
//
//   CommandLine line;
//   if (std::optional<int> exit = ParseCommandLine(argc, argv, line)) return
//   *exit;
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proto/channel/channel.h"
#include "workers/agent/cloud/spot_watch.h"
#include "workers/agent/health.h"

namespace trainyard::agent {

struct CommandLine {
  std::string server = "127.0.0.1:7070";
  Security security;  // how it is reached
  std::string name;
  std::map<std::string, std::string> labels;
  std::string work_dir;
  std::vector<std::string> data_roots;
  uint64_t cache_limit_bytes = 0;
  std::string runner;
  std::string devices = "auto";
  std::string log_level = "info";
  std::string log_format = "text";
  absl::Duration grace;
  absl::Duration checkpoint_grace;
  // Asks how the worker of that work folder is, instead of being one.
  std::optional<HealthKind> health;
  bool check = false;  // only check the command line and what it names
  SpotWatchOptions spot;
  absl::Duration idle_limit = absl::InfiniteDuration();
  std::string idle_command;  // run by sh after it left idle; empty: none
};

// Fills `line`, defaults included. A value: the program is to exit with it; all
// was said (help, version, or what is wrong).
std::optional<int> ParseCommandLine(int argc, char** argv, CommandLine& line);

// "Büro-Mac.local" as "b--ro-mac-local": what a worker's name may hold.
std::string WorkerNameFrom(absl::string_view host);

// INVALID_ARGUMENT names the value.
absl::Status CheckWorkerName(const std::string& name);
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& labels);

}  // namespace trainyard::agent
