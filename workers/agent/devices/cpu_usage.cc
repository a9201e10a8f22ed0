#include "workers/agent/devices/cpu_usage.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <mach/mach.h>
#endif

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "workers/agent/devices/cgroup.h"

namespace trainyard::agent {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(200);

#ifdef __APPLE__
// Not run: no macOS machine was at hand.
std::optional<CpuTime> ReadMachine(const std::string&) {
  host_cpu_load_info_data_t load;
  mach_msg_type_number_t count = HOST_CPU_LOAD_INFO_COUNT;
  if (host_statistics(mach_host_self(), HOST_CPU_LOAD_INFO,
                      reinterpret_cast<host_info_t>(&load),
                      &count) != KERN_SUCCESS) {
    return std::nullopt;
  }
  const double busy = double{1} * load.cpu_ticks[CPU_STATE_USER] +
                      load.cpu_ticks[CPU_STATE_SYSTEM] +
                      load.cpu_ticks[CPU_STATE_NICE];
  const double all = busy + load.cpu_ticks[CPU_STATE_IDLE];
  const double per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return CpuTime{absl::Seconds(busy / per_second),
                 absl::Seconds(all / per_second)};
}
#else
std::optional<CpuTime> ReadMachine(const std::string& root) {
  std::ifstream file(root + "/proc/stat");
  std::ostringstream text;
  text << file.rdbuf();
  const absl::Duration tick =
      absl::Seconds(1) / static_cast<double>(sysconf(_SC_CLK_TCK));
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    const auto counts = [&allowed](int core) {
      return core < CPU_SETSIZE && CPU_ISSET(core, &allowed);
    };
    return ParseProcStat(text.str(), tick, counts);
  }
#endif
  return ParseProcStat(text.str(), tick, [](int) { return true; });
}
#endif

}  // namespace

std::optional<CpuTime> ParseProcStat(absl::string_view text,
                                     absl::Duration tick,
                                     absl::FunctionRef<bool(int)> counts) {
  CpuTime sum;
  bool any = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    // "cpu0 user nice system idle iowait irq softirq steal …"; guest time is
    // part of user time. "cpu" without a number is the sum of all.
    int core = 0;
    if (fields.size() < 5 || !absl::StartsWith(fields[0], "cpu") ||
        !absl::SimpleAtoi(fields[0].substr(3), &core) || !counts(core)) {
      continue;
    }
    any = true;
    for (size_t i = 1; i < std::min<size_t>(fields.size(), 9); ++i) {
      int64_t ticks = 0;
      if (!absl::SimpleAtoi(fields[i], &ticks)) continue;
      sum.all += ticks * tick;
      const bool idle = i == 4 || i == 5;
      if (!idle) sum.busy += ticks * tick;
    }
  }
  if (!any) return std::nullopt;
  return sum;
}

CpuUsage::CpuUsage(std::string root, Clock* clock)
    : root_(std::move(root)), clock_(clock) {
  absl::MutexLock lock(&mutex_);
  last_ = Read();
}

CpuUsage::Reading CpuUsage::Read() const {
  Reading reading{.time = clock_->Now()};
  const CgroupLimits limits = ReadCgroupLimits(root_);
  if (limits.cores > 0 && limits.cpu_time) {
    reading.of_group = true;
    reading.cpu = CpuTime{*limits.cpu_time,
                          (reading.time - absl::UnixEpoch()) * limits.cores};
  } else {
    reading.cpu = ReadMachine(root_);
  }
  return reading;
}

std::optional<double> CpuUsage::Sample() {
  absl::MutexLock lock(&mutex_);
  const absl::Duration passed = clock_->Now() - last_.time;
  if (passed >= absl::ZeroDuration() && passed < kShortestInterval) {
    return last_share_;
  }
  Reading now = Read();
  last_share_ = std::nullopt;
  if (now.cpu && last_.cpu && now.of_group == last_.of_group &&
      now.cpu->all > last_.cpu->all) {
    last_share_ = std::clamp(absl::FDivDuration(now.cpu->busy - last_.cpu->busy,
                                                now.cpu->all - last_.cpu->all),
                             0.0, 1.0);
  }
  last_ = std::move(now);
  return last_share_;
}

}  // namespace trainyard::agent
