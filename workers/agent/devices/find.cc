#include "workers/agent/devices/find.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "workers/agent/devices/cpu.h"
#include "workers/agent/devices/cuda.h"
#include "workers/agent/devices/mps.h"

namespace trainyard::agent {
namespace {

Devices FindCpu() {
  Devices devices;
  devices.push_back(MakeCpuDevice());
  return devices;
}

}  // namespace

absl::StatusOr<Devices> FindDevices(const std::string& wanted) {
  const bool any = wanted == "auto";
  const std::vector<std::string> kinds =
      any ? std::vector<std::string>{"cuda", "mps", "cpu"}
          : std::vector<std::string>(absl::StrSplit(wanted, ','));
  Devices devices;
  for (size_t i = 0; i < kinds.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (kinds[i] == kinds[j]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "--devices ", wanted, ": \"", kinds[i], "\" is there twice"));
      }
    }
    Devices found;
    if (kinds[i] == "cpu") {
      found = FindCpu();
    } else if (kinds[i] == "cuda") {
      found = FindCudaDevices();
    } else if (kinds[i] == "mps") {
      found = FindMpsDevices();
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--devices ", wanted, ": \"", kinds[i],
                       "\" must be auto, or a list of cpu, cuda and mps"));
    }
    if (found.empty() && !any) {
      return absl::NotFoundError(absl::StrCat("--devices ", wanted, ": no \"",
                                              kinds[i],
                                              "\" device on this machine"));
    }
    for (auto& device : found) devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace trainyard::agent
