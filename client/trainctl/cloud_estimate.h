// How long and how dear a piece of work is on each instance of a price file,
// and which to take. Pure.
//
//   std::vector<CloudEstimate> rows = EstimateCloud(prices, {.hours = 2});
//   rows[i].chosen
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/trainctl/cloud_prices.h"

namespace trainyard::trainctl {

struct CloudWork {
  double hours = 0;  // of one job on `gpus` GPUs of kind `on`
  std::string on{};  // empty: the price file's reference GPU
  uint32_t jobs = 1;
  uint32_t gpus = 1;  // of one job
  double gpu_memory_gib = 0;
  double memory_gib = 0;
  bool spot = false;         // choose by spot prices
  double max_hours = 0;      // 0: as long as it takes
  std::string cloud{};       // empty: all
  double spot_extra = 0.05;  // share of steps done again after interruptions
};

struct CloudEstimate {
  CloudInstance instance;
  std::string unfit;  // why it cannot do the work; empty: it can
  // With an empty `unfit`:
  double hours = 0;
  double dollars = 0;
  double spot_dollars = 0;  // 0: not to be had as spot
  bool chosen = false;
};

// One row per instance of the price file (of work.cloud), in its order.
//
//   hours(instance) = ceil(jobs / floor(gpus(instance) / gpus)) · hours ·
//                     speed(on) / speed(gpu(instance))
//   spot hours      = hours · (1 + spot_extra)
//
// A job uses no more GPUs than it asks for. Chosen is what fits and costs
// least, the faster one among equals. INVALID_ARGUMENT: work.on is not in the
// price file.
absl::StatusOr<std::vector<CloudEstimate>> EstimateCloud(
    const CloudPrices& prices, const CloudWork& work);

}  // namespace trainyard::trainctl
