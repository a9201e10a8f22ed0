#include "workers/agent/devices/process_usage.h"

#include <unistd.h>
#ifdef __APPLE__
#include <libproc.h>
#endif

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace trainyard::agent {
namespace {

// The system counts CPU time in hundredths of a second: over less than this a
// share would be noise.
constexpr absl::Duration kShortestInterval = absl::Milliseconds(200);

struct Reading {
  std::optional<uint64_t> rss_bytes;
  std::optional<absl::Duration> cpu_time;
};

#ifdef __APPLE__
// Not run: no macOS machine was at hand.
Reading Read(pid_t pid) {
  proc_taskinfo info;
  if (proc_pidinfo(pid, PROC_PIDTASKINFO, 0, &info, sizeof(info)) !=
      sizeof(info)) {
    return {};
  }
  return {.rss_bytes = info.pti_resident_size,
          .cpu_time =
              absl::Nanoseconds(info.pti_total_user + info.pti_total_system)};
}
#else
Reading Read(pid_t pid) {
  Reading reading;
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(file, line)) return reading;
  // The second field, the program's name in brackets, may hold anything.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return reading;
  const std::vector<std::string> fields =
      absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipEmpty());
  // proc(5) counts from 1: utime is 14, stime 15, rss 24; fields[0] is its 3.
  if (fields.size() < 22) return reading;
  int64_t user = 0;
  int64_t system = 0;
  int64_t pages = 0;
  if (absl::SimpleAtoi(fields[11], &user) &&
      absl::SimpleAtoi(fields[12], &system)) {
    reading.cpu_time = absl::Seconds(static_cast<double>(user + system) /
                                     static_cast<double>(sysconf(_SC_CLK_TCK)));
  }
  if (absl::SimpleAtoi(fields[21], &pages) && pages > 0) {
    reading.rss_bytes = static_cast<uint64_t>(pages) *
                        static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return reading;
}
#endif

}  // namespace

ProcessUsage::ProcessUsage(pid_t pid, uint32_t cores, Clock* clock)
    : pid_(pid),
      cores_(std::max(1u, cores)),
      clock_(clock),
      last_time_(clock->Now()),
      last_cpu_time_(Read(pid).cpu_time) {}

ProcessSample ProcessUsage::Sample() {
  const Reading reading = Read(pid_);
  const absl::Time now = clock_->Now();
  ProcessSample sample{.rss_bytes = reading.rss_bytes};
  const absl::Duration passed = now - last_time_;
  if (passed < kShortestInterval) {
    sample.cpu_share = last_share_;
    return sample;
  }
  if (reading.cpu_time && last_cpu_time_) {
    sample.cpu_share =
        std::clamp(absl::FDivDuration(*reading.cpu_time - *last_cpu_time_,
                                      passed * cores_),
                   0.0, 1.0);
  }
  last_time_ = now;
  last_cpu_time_ = reading.cpu_time;
  last_share_ = sample.cpu_share;
  return sample;
}

}  // namespace trainyard::agent
