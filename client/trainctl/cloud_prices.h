// The price file of `trainctl cloud estimate` (deploy/cloud/prices.yaml).
//
//   ASSIGN_OR_RETURN(CloudPrices prices,
//   ParseCloudPrices(BuiltInCloudPrices()));
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace trainyard::trainctl {

struct CloudGpu {
  double memory_gib = 0;
  double speed = 0;  // training throughput by the reference GPU's
};

struct CloudInstance {
  std::string cloud;  // "aws", "gcp", "azure"
  std::string name;
  std::string region;
  uint32_t cores = 0;
  double memory_gib = 0;
  std::string gpu;  // a key of CloudPrices::gpus
  uint32_t gpus = 0;
  double dollars = 0;  // per hour
  double spot = 0;     // per hour; 0: not to be had as spot
};

struct CloudPrices {
  std::string date;  // "2024-07-01"
  std::string source;
  std::string reference_gpu;
  std::map<std::string, CloudGpu> gpus;
  std::vector<CloudInstance> instances;  // never empty
};

// The file this program was built with.
std::string BuiltInCloudPrices();

// INVALID_ARGUMENT names the field, as "instances[2].dollars", and what would
// be right. `yaml` may be anything.
absl::StatusOr<CloudPrices> ParseCloudPrices(const std::string& yaml);

}  // namespace trainyard::trainctl
