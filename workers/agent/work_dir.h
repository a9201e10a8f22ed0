// The worker's folder: one process at a time, cleaned of what a dead one left.
//
//   ASSIGN_OR_RETURN(WorkDir dir, WorkDir::Open("/var/lib/trainyard-worker"));
//   dir.attempt({17, 2})   // …/attempts/17-2
//
//   lock                  held while the worker lives
//   health                how it is (health.h)
//   attempts/JOB-ATTEMPT/ spec.json, runner.pid, work/ (the runner's own),
//                         uploads/ (checkpoints on their way)
//   cache/                inputs by hash (input_cache.h); outlives the worker
//   spool/                telemetry on its way
//   kept.json             what the worker could not hand over when it left
//                         (kept.h); its attempts' folders stay
//   worker.token          the worker's own token, where the server needs one
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/agent/fd.h"
#include "workers/agent/kept.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

class WorkDir {
 public:
  // Makes the folder if needed, locks it, ends the runners that an earlier
  // worker left and removes their folders, but for what it kept.
  // FAILED_PRECONDITION: another worker is using it.
  static absl::StatusOr<WorkDir> Open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string cache() const { return path_ + "/cache"; }
  // The worker's own token, once it has joined.
  std::string token_file() const { return path_ + "/worker.token"; }
  std::string spool() const { return path_ + "/spool"; }
  std::string health() const { return HealthFileIn(path_); }
  std::string attempt(const AttemptKey& key) const;
  // What the worker before kept; nullopt: nothing, or all is handed over.
  const std::optional<Kept>& kept() const { return kept_; }
  // Durably, before the process ends.
  absl::Status Keep(const Kept& kept) const;
  // All is handed over, or of no use to anyone.
  void ForgetKept();
  // Of a folder that another process may hold open.
  static std::string HealthFileIn(const std::string& path) {
    return path + "/health";
  }

 private:
  WorkDir(std::string path, Fd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string kept_file() const { return path_ + "/kept.json"; }
  void ReadKept();

  std::string path_;
  Fd lock_;
  std::optional<Kept> kept_;
};

// Notes which process works in an attempt's folder, for the next worker.
void WriteRunnerPid(const std::string& attempt_folder, pid_t pid);

}  // namespace trainyard::agent
