#include "workers/agent/work_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kKillTime = absl::Seconds(5);
constexpr char kPidFile[] = "/runner.pid";

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot create ", path, ": ", error.message()));
}

// When the process started, in a form that only it has: process numbers are
// used again. "" where there is none, or the system does not tell.
std::string StartOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return "";
  const std::vector<std::string> fields =
      absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipEmpty());
  if (fields.size() < 20 || fields[0] == "Z") return "";
  return fields[19];  // proc(5): starttime
}

// Runners end by themselves when their worker dies; this makes sure of it.
void EndLeftRunner(const std::string& attempt_folder) {
  std::ifstream file(attempt_folder + kPidFile);
  pid_t pid = 0;
  std::string start;
  if (!(file >> pid >> start) || pid <= 1 || StartOf(pid) != start) return;
  spdlog::warn("ending process {}, left in {}", pid, attempt_folder);
  kill(-pid, SIGKILL);
  const absl::Time until = absl::Now() + kKillTime;
  while (StartOf(pid) == start && absl::Now() < until) {
    absl::SleepFor(
        absl::Milliseconds(10));  // not our child: nothing to wait on
  }
}

}  // namespace

absl::StatusOr<WorkDir> WorkDir::Open(const std::string& path) {
  RETURN_IF_ERROR(MakeFolder(path));
  std::error_code error;
  const std::string real = fs::canonical(path, error).string();
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("--work-dir ", path, ": ", error.message()));
  }
  const std::string lock_path = real + "/lock";
  Fd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot open ", lock_path, ": ", strerror(errno)));
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--work-dir ", path,
        ": another trainyard-worker is using it; give each its own"));
  }
  WorkDir dir(real, std::move(lock));
  dir.ReadKept();
  std::set<std::string> keep;
  if (dir.kept_) {
    for (const KeptAttempt& attempt : dir.kept_->attempts) {
      keep.insert(dir.attempt(attempt.key));
    }
  }
  const std::string attempts = real + "/attempts";
  std::vector<std::string> left;  // removing while listing is undefined
  for (const auto& folder : fs::directory_iterator(attempts, error)) {
    left.push_back(folder.path().string());
  }
  for (const std::string& folder : left) {
    EndLeftRunner(folder);
    if (!keep.contains(folder)) fs::remove_all(folder, error);
  }
  fs::remove_all(real + "/spool", error);
  for (const char* name : {"/attempts", "/spool", "/cache"}) {
    RETURN_IF_ERROR(MakeFolder(real + name));
  }
  return dir;
}

void WorkDir::ReadKept() {
  absl::StatusOr<std::optional<Kept>> kept = agent::ReadKept(kept_file());
  if (kept.ok()) {
    kept_ = *std::move(kept);
  } else {  // its attempts are lost; those that come are not
    spdlog::error("what the worker kept when it left cannot be used: {}",
                  std::string(kept.status().message()));
  }
}

absl::Status WorkDir::Keep(const Kept& kept) const {
  for (const KeptAttempt& one : kept.attempts) {
    std::error_code error;
    const std::string folder = attempt(one.key);
    if (!fs::exists(folder, error)) continue;  // it never started
    RETURN_IF_ERROR(SyncTree(folder));
  }
  return WriteKept(kept_file(), kept);
}

void WorkDir::ForgetKept() {
  kept_.reset();
  std::error_code error;
  fs::remove(kept_file(), error);
}

std::string WorkDir::attempt(const AttemptKey& key) const {
  return absl::StrCat(path_, "/attempts/", key.job, "-", key.attempt);
}

void WriteRunnerPid(const std::string& attempt_folder, pid_t pid) {
  std::ofstream(attempt_folder + kPidFile)
      << pid << " " << StartOf(pid) << "\n";
}

}  // namespace trainyard::agent
