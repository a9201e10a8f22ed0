#include "client/trainctl/cloud_estimate.h"

#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard::trainctl {
namespace {

std::string Unfit(const CloudInstance& instance, const CloudGpu& gpu,
                  const CloudWork& work) {
  if (instance.gpus < work.gpus) {
    return absl::StrCat("has ", instance.gpus, " GPU",
                        instance.gpus == 1 ? "" : "s", ", not ", work.gpus);
  }
  if (gpu.memory_gib < work.gpu_memory_gib) {
    return absl::StrFormat("GPU has %g GiB, not %g", gpu.memory_gib,
                           work.gpu_memory_gib);
  }
  if (instance.memory_gib < work.memory_gib) {
    return absl::StrFormat("has %g GiB, not %g", instance.memory_gib,
                           work.memory_gib);
  }
  if (work.spot && instance.spot == 0) return "not to be had as spot";
  return "";
}

}  // namespace

absl::StatusOr<std::vector<CloudEstimate>> EstimateCloud(
    const CloudPrices& prices, const CloudWork& work) {
  const auto on =
      prices.gpus.find(work.on.empty() ? prices.reference_gpu : work.on);
  if (on == prices.gpus.end()) {
    std::string known;
    for (const auto& [name, gpu] : prices.gpus) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", name);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("--on ", work.on, ": the price file knows ", known));
  }
  std::vector<CloudEstimate> rows;
  CloudEstimate* best = nullptr;
  rows.reserve(prices.instances.size());  // best points into it
  for (const CloudInstance& instance : prices.instances) {
    if (!work.cloud.empty() && instance.cloud != work.cloud) continue;
    const CloudGpu& gpu = prices.gpus.at(instance.gpu);
    CloudEstimate& row = rows.emplace_back();
    row.instance = instance;
    row.unfit = Unfit(instance, gpu, work);
    if (!row.unfit.empty()) continue;
    const double at_once = std::floor(instance.gpus / work.gpus);
    row.hours = std::ceil(work.jobs / at_once) * work.hours * on->second.speed /
                gpu.speed;
    const double spot_hours = row.hours * (1 + work.spot_extra);
    row.dollars = row.hours * instance.dollars;
    row.spot_dollars = spot_hours * instance.spot;
    if (work.max_hours > 0 &&
        (work.spot ? spot_hours : row.hours) > work.max_hours) {
      row.unfit =
          absl::StrFormat("takes %.3g h, not %g",
                          work.spot ? spot_hours : row.hours, work.max_hours);
      continue;
    }
    const auto cost = [&work](const CloudEstimate& r) {
      return std::tuple(work.spot ? r.spot_dollars : r.dollars, r.hours);
    };
    if (best == nullptr || cost(row) < cost(*best)) best = &row;
  }
  if (best != nullptr) best->chosen = true;
  return rows;
}

}  // namespace trainyard::trainctl
