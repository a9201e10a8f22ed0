// What every kind of run puts into a metrics point and into its report.
//
//   nlohmann::json point = {{"step", 7}, ...};
//   AddSpeed(meter.CloseInterval(), devices, &point);
//
// Stateless; thread-safe.
#pragma once

#include <torch/types.h>

#include <optional>

#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "workers/runner/meter.h"

namespace trainyard::runner {

// Absent figures are left out.
template <typename T>
void SetIf(const std::optional<T>& value, const char* name,
           nlohmann::json* to) {
  if (value.has_value()) (*to)[name] = *value;
}

// Speed, waits and memory of the interval; the device's memory over all
// devices. Utilisation where a CPU is the only device.
void AddSpeed(const IntervalFigures& figures,
              absl::Span<const torch::Device> devices, nlohmann::json* point);

// The same of the whole attempt.
void AddTotals(const Meter& meter, absl::Span<const torch::Device> devices,
               nlohmann::json* report);

}  // namespace trainyard::runner
