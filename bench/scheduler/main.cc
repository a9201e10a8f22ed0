// trainyard-bench-scheduler: what the scheduler takes, over gRPC and in
// process. bench/README.md says how to read it.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "bench/rpc/fsync_probe.h"
#include "bench/rpc/loopback.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"

namespace trainyard::bench {
namespace {

struct Case {
  const char* name;
  absl::Status (*run)(const SchedulerFlags& flags);
  bool has_server;
};

constexpr Case kCases[] = {
    {"noop", RunNoop, true},
    {"latency", RunLatency, true},
    {"queued", RunQueued, true},
    {"idle", RunIdle, true},
    {"placement", RunPlacement, false},
    {"kueue", RunKueue, false},
};

absl::Status Run(const SchedulerFlags& flags,
                 const std::vector<std::string>& names) {
  const auto is_wanted = [&](const Case& one) {
    return names.empty() ||
           std::find(names.begin(), names.end(), one.name) != names.end();
  };
  if (std::any_of(std::begin(kCases), std::end(kCases), [&](const Case& one) {
        return one.has_server && is_wanted(one);
      })) {
    const Folder folder(flags.folder);
    if (folder.path().empty()) {
      return absl::NotFoundError(absl::StrCat(
          "--folder: ", flags.folder, ": must be a folder to write to"));
    }
    ASSIGN_OR_RETURN(const absl::Duration fsync, MedianFsync(folder.path()));
    Print("fsync_latency", absl::ToDoubleMicroseconds(fsync), "us");
  }
  for (const Case& one : kCases) {
    if (!is_wanted(one)) continue;
    std::fprintf(stderr, "case %s\n", one.name);
    RETURN_IF_ERROR(WithContext(one.run(flags), one.name));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  using namespace trainyard::bench;  // NOLINT: its own main
#ifdef NDEBUG
  // As in the server: Debian builds Abseil with its search for deadlocks,
  // which would take a quarter of the simulated workers' time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  SchedulerFlags flags;
  flags.folder = std::filesystem::temp_directory_path().string();
  std::vector<std::string> names;
  CLI::App app("Measures the scheduler.");
  app.add_option("--server", flags.server, "path of trainyard-server")
      ->required()
      ->take_last();
  app.add_option("--folder", flags.folder,
                 "the server's state goes below it; on a disk, removed after")
      ->take_last()
      ->capture_default_str();
  app.add_option("--scale", flags.scale, "of all sizes")
      ->check(CLI::Range(0.0001, 10.0))
      ->capture_default_str();
  app.add_option("--devices", flags.devices,
                 "of each simulated worker of the no-op case")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--rounds", flags.rounds,
                 "of the no-op case, whose median is printed")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  std::vector<std::string> known = {"slurm"};  // run by bench/run.sh
  for (const auto& one : kCases) known.push_back(one.name);
  app.add_option("--case", names, "only this one; may be repeated")
      ->check(CLI::IsMember(known));
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(flags, names);
  if (status.ok()) return 0;
  std::fprintf(stderr, "trainyard-bench-scheduler: %s\n",
               std::string(status.message()).c_str());
  return 1;
}
