#include "workers/agent/devices/cgroup.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace trainyard::agent {
namespace {

std::vector<std::string> ReadLines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) lines.push_back(line);
  return lines;
}

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const std::vector<std::string> lines = ReadLines(path);
  uint64_t value = 0;
  if (lines.empty() || !absl::SimpleAtoi(lines[0], &value)) return std::nullopt;
  return value;
}

// "name value" lines, as in memory.stat.
std::optional<uint64_t> ReadStat(const std::string& path,
                                 absl::string_view name) {
  for (const std::string& line : ReadLines(path)) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t value = 0;
    if (parts.first == name && absl::SimpleAtoi(parts.second, &value)) {
      return value;
    }
  }
  return std::nullopt;
}

// The group and those above it: each may set a limit.
std::vector<std::string> GroupsUpwards(const std::string& mount,
                                       std::string group) {
  std::vector<std::string> folders;
  while (group.size() > 1) {
    folders.push_back(mount + group);
    group.resize(group.rfind('/'));
  }
  folders.push_back(mount);
  return folders;
}

void LimitCores(double cores, std::optional<absl::Duration> cpu_time,
                CgroupLimits& limits) {
  if (cores <= 0 || (limits.cores > 0 && limits.cores <= cores)) return;
  limits.cores = cores;
  limits.cpu_time = cpu_time;
}

void LimitMemory(uint64_t bytes, uint64_t used, uint64_t cache,
                 CgroupLimits& limits) {
  if (limits.memory_bytes != 0 && limits.memory_bytes <= bytes) return;
  limits.memory_bytes = bytes;
  limits.memory_used_bytes = used > cache ? used - cache : 0;
}

void ReadV2(const std::string& folder, CgroupLimits& limits) {
  const std::vector<std::string> lines = ReadLines(folder + "/cpu.max");
  if (!lines.empty()) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(lines[0], absl::MaxSplits(' ', 1));
    double quota = 0;
    double period = 0;
    if (absl::SimpleAtod(parts.first, &quota) &&
        absl::SimpleAtod(parts.second, &period) && period > 0) {
      std::optional<absl::Duration> used;
      if (const auto micros = ReadStat(folder + "/cpu.stat", "usage_usec")) {
        used = absl::Microseconds(*micros);
      }
      LimitCores(quota / period, used, limits);
    }
  }
  if (const auto max = ReadNumber(folder + "/memory.max")) {
    LimitMemory(*max, ReadNumber(folder + "/memory.current").value_or(0),
                ReadStat(folder + "/memory.stat", "inactive_file").value_or(0),
                limits);
  }
}

void ReadV1(const std::string& cgroup, const std::string& controller,
            const std::string& group, CgroupLimits& limits) {
  for (const std::string& folder :
       GroupsUpwards(cgroup + "/" + controller, group)) {
    const auto quota = ReadNumber(folder + "/cpu.cfs_quota_us");
    const auto period = ReadNumber(folder + "/cpu.cfs_period_us");
    if (quota && period && *period > 0) {
      // Mounted together with the controller that counts, as a rule.
      std::optional<absl::Duration> used;
      if (const auto nanos = ReadNumber(folder + "/cpuacct.usage")) {
        used = absl::Nanoseconds(*nanos);
      }
      LimitCores(static_cast<double>(*quota) / static_cast<double>(*period),
                 used, limits);
    }
    const auto max = ReadNumber(folder + "/memory.limit_in_bytes");
    // Version 1 says "no limit" as a number near 2^63.
    if (max && *max < (uint64_t{1} << 62)) {
      LimitMemory(
          *max, ReadNumber(folder + "/memory.usage_in_bytes").value_or(0),
          ReadStat(folder + "/memory.stat", "total_inactive_file").value_or(0),
          limits);
    }
  }
}

}  // namespace

CgroupLimits ReadCgroupLimits(const std::string& root) {
  CgroupLimits limits;
  const std::string cgroup = root + "/sys/fs/cgroup";
  for (const std::string& line : ReadLines(root + "/proc/self/cgroup")) {
    // "0::/group" is version 2; "4:cpu,cpuacct:/group" is version 1.
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) {
      for (const std::string& folder : GroupsUpwards(cgroup, parts[2])) {
        ReadV2(folder, limits);
      }
      continue;
    }
    for (absl::string_view controller : absl::StrSplit(parts[1], ',')) {
      if (controller == "cpu" || controller == "memory") {
        ReadV1(cgroup, std::string(controller), parts[2], limits);
      }
    }
  }
  return limits;
}

}  // namespace trainyard::agent
