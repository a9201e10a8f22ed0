#include "workers/agent/devices/cpu.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "workers/agent/devices/cgroup.h"
#include "workers/agent/devices/cpu_sensors.h"
#include "workers/agent/devices/cpu_usage.h"

namespace trainyard::agent {
namespace {

std::vector<std::string> ReadLines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) lines.push_back(line);
  return lines;
}

uint32_t AllowedCores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
    return static_cast<uint32_t>(CPU_COUNT(&set));
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

struct Memory {
  uint64_t total = 0;
  uint64_t free = 0;
};

#ifdef __APPLE__
// Not run: no macOS machine was at hand.
Memory PhysicalMemory(const std::string&) {
  Memory memory;
  size_t size = sizeof(memory.total);
  sysctlbyname("hw.memsize", &memory.total, &size, nullptr, 0);
  vm_statistics64_data_t stats;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64,
                        reinterpret_cast<host_info64_t>(&stats),
                        &count) == KERN_SUCCESS) {
    memory.free = (uint64_t{stats.free_count} + stats.inactive_count) *
                  static_cast<uint64_t>(getpagesize());
  }
  return memory;
}

// Not run: no macOS machine was at hand.
std::string ModelName(const std::string&) {
  char name[256] = "";
  size_t size = sizeof(name) - 1;
  sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0);
  return name;
}
#else
Memory PhysicalMemory(const std::string& root) {
  std::map<std::string, uint64_t> bytes;
  for (const std::string& line : ReadLines(root + "/proc/meminfo")) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::ByAnyChar(": "), absl::SkipEmpty());
    uint64_t kib = 0;
    if (parts.size() >= 2 && absl::SimpleAtoi(parts[1], &kib)) {
      bytes[parts[0]] = kib * 1024;
    }
  }
  return {.total = bytes["MemTotal"], .free = bytes["MemAvailable"]};
}

// x86 says "model name"; ARM boards say "Model" or only an implementer's code.
std::string ModelName(const std::string& root) {
  for (const char* wanted : {"model name", "Model", "Hardware"}) {
    for (const std::string& line : ReadLines(root + "/proc/cpuinfo")) {
      const std::pair<std::string, std::string> parts =
          absl::StrSplit(line, absl::MaxSplits(':', 1));
      if (absl::StripAsciiWhitespace(parts.first) == wanted) {
        return std::string(absl::StripAsciiWhitespace(parts.second));
      }
    }
  }
  return "CPU";
}
#endif

class CpuDevice : public Device {
 public:
  CpuDevice(std::string root, Clock* clock)
      : root_(std::move(root)),
        model_(ModelName(root_)),
        usage_(root_, clock),
        sensors_(root_, clock) {}

  DeviceInfo Describe() const override {
    const CgroupLimits limits = ReadCgroupLimits(root_);
    const Memory memory = PhysicalMemory(root_);
    DeviceInfo info{.id = "cpu",
                    .kind = DeviceKind::kCpu,
                    .model = model_,
                    .memory_bytes = memory.total,
                    .free_memory_bytes = memory.free,
                    .cores = AllowedCores()};
    if (limits.cores > 0) {
      const auto quota = static_cast<uint32_t>(std::ceil(limits.cores));
      info.cores = std::clamp(quota, 1u, info.cores);
    }
    if (limits.memory_bytes > 0 && limits.memory_bytes < info.memory_bytes) {
      info.memory_bytes = limits.memory_bytes;
      info.free_memory_bytes =
          std::min(info.free_memory_bytes,
                   limits.memory_bytes -
                       std::min(limits.memory_bytes, limits.memory_used_bytes));
    }
    return info;
  }

  // The runner's own use of the cores is in process_usage.h.
  DeviceSample Sample(pid_t runner) const override {
    DeviceSample sample;
    if (runner == 0) sample.utilization = usage_.Sample();
    sample.temperature_celsius = sensors_.Temperature();
    sample.power_watts = sensors_.Power();
    return sample;
  }

 private:
  const std::string root_;
  const std::string model_;
  mutable CpuUsage usage_;
  mutable CpuSensors sensors_;
};

}  // namespace

std::unique_ptr<Device> MakeCpuDevice(const std::string& root, Clock* clock) {
  return std::make_unique<CpuDevice>(root, clock);
}

}  // namespace trainyard::agent
