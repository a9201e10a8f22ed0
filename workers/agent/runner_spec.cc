#include "workers/agent/runner_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/json/job_json.h"
#include "workers/agent/devices/cuda.h"

namespace trainyard::agent {
namespace {

const char* KindName(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return "cuda";
    case DeviceKind::kMps:
      return "mps";
  }
  return "cpu";
}

// CUDA_VISIBLE_DEVICES leaves only the job's own cards: they count from 0.
Json DeviceList(const std::vector<DeviceKind>& kinds, uint32_t threads) {
  Json list = Json::array();
  for (size_t i = 0; i < kinds.size(); ++i) {
    const size_t index = static_cast<size_t>(std::count(
        kinds.begin(), kinds.begin() + static_cast<long>(i), kinds[i]));
    list.push_back(
        {{"kind", KindName(kinds[i])}, {"index", index}, {"threads", threads}});
  }
  return list;
}

}  // namespace

std::string FormatRunnerSpec(const RunnerSpec& spec) {
  Json json;
  json["trainyard_runner"] = 1;
  json["job"] = spec.key.job;
  json["attempt"] = spec.key.attempt;
  const Json devices = DeviceList(spec.devices, spec.threads);
  if (spec.job.has_ensemble()) {
    json["ensemble"] = ToJson(spec.job.ensemble());
    json["devices"] = devices;
  } else {
    json["training"] = ToJson(spec.job.training());
  }
  json["device"] = devices.at(0);
  json["work_dir"] = spec.work_dir;
  if (!spec.resume.empty()) json["resume"] = spec.resume;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> DeviceEnvironment(
    const std::vector<DeviceInfo>& devices, uint32_t threads) {
  std::vector<std::string> cards;
  for (const DeviceInfo& device : devices) {
    if (device.kind == DeviceKind::kCuda) cards.push_back(CudaUuid(device.id));
  }
  return {"CUDA_VISIBLE_DEVICES=" + absl::StrJoin(cards, ","),
          "CUDA_DEVICE_ORDER=PCI_BUS_ID",
          absl::StrCat("OMP_NUM_THREADS=", threads)};
}

uint32_t ThreadsFor(const std::vector<DeviceInfo>& given,
                    const std::vector<DeviceInfo>& all, uint32_t cores) {
  const auto accelerators = [](const std::vector<DeviceInfo>& devices) {
    return static_cast<uint32_t>(std::count_if(
        devices.begin(), devices.end(), [](const DeviceInfo& device) {
          return device.kind != DeviceKind::kCpu;
        }));
  };
  const uint32_t mine = accelerators(given);
  const uint32_t total = accelerators(all);
  if (mine == 0 || total == 0) return std::max(1u, cores);
  return std::max(1u, cores * std::min(mine, total) / total);
}

}  // namespace trainyard::agent
