// Not run: no macOS machine was at hand.
#include "workers/agent/devices/mps.h"

#ifdef __APPLE__
#include <CoreFoundation/CoreFoundation.h>
#include <IOKit/IOKitLib.h>
#include <mach/mach.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#endif

namespace trainyard::agent {

#ifdef __APPLE__
namespace {

std::string SysctlText(const char* name) {
  char text[256] = "";
  size_t size = sizeof(text) - 1;
  sysctlbyname(name, text, &size, nullptr, 0);
  return text;
}

uint64_t SysctlNumber(const char* name) {
  uint64_t value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

uint64_t FreeMemory() {
  vm_statistics64_data_t stats;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64,
                        reinterpret_cast<host_info64_t>(&stats),
                        &count) != KERN_SUCCESS) {
    return 0;
  }
  return (uint64_t{stats.free_count} + stats.inactive_count) *
         static_cast<uint64_t>(getpagesize());
}

// IOAccelerator's "Device Utilization %" (0 to 100) in PerformanceStatistics.
std::optional<double> Utilization() {
  const io_service_t service = IOServiceGetMatchingService(
      kIOMainPortDefault, IOServiceMatching("IOAccelerator"));
  if (service == IO_OBJECT_NULL) return std::nullopt;
  const CFTypeRef statistics = IORegistryEntryCreateCFProperty(
      service, CFSTR("PerformanceStatistics"), kCFAllocatorDefault, 0);
  IOObjectRelease(service);
  if (statistics == nullptr) return std::nullopt;
  std::optional<double> utilization;
  if (CFGetTypeID(statistics) == CFDictionaryGetTypeID()) {
    const auto* number = static_cast<CFNumberRef>(
        CFDictionaryGetValue(static_cast<CFDictionaryRef>(statistics),
                             CFSTR("Device Utilization %")));
    double percent = 0;
    if (number != nullptr &&
        CFNumberGetValue(number, kCFNumberDoubleType, &percent)) {
      utilization = std::clamp(percent / 100, 0.0, 1.0);
    }
  }
  CFRelease(statistics);
  return utilization;
}

class MpsDevice : public Device {
 public:
  DeviceInfo Describe() const override {
    // Memory is the machine's own, shared with the cores.
    return {.id = "mps",
            .kind = DeviceKind::kMps,
            .model = SysctlText("machdep.cpu.brand_string") + " (" +
                     SysctlText("hw.model") + ")",
            .memory_bytes = SysctlNumber("hw.memsize"),
            .free_memory_bytes = FreeMemory()};
  }
  DeviceSample Sample(pid_t) const override {
    return {.utilization = Utilization()};
  }
};

}  // namespace

Devices FindMpsDevices() {
  Devices devices;
  if (SysctlNumber("hw.optional.arm64") != 0) {
    devices.push_back(std::make_unique<MpsDevice>());
  }
  return devices;
}
#else
Devices FindMpsDevices() { return {}; }
#endif

}  // namespace trainyard::agent
