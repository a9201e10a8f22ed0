#include "client/trainctl/plot_scale.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

double Bounded(double value) {
  if (std::isnan(value)) return 0;
  return std::clamp(value, -kLargestFigure, kLargestFigure);
}

// The smallest of 1, 2 and 5 times a power of ten that is not below `raw`, but
// for rounding.
double RoundStep(double raw) {
  raw *= 1 - 1e-9;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

double RoundSeconds(double raw) {
  for (const double seconds : {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900,
                               1800, 3600, 7200, 10800, 21600, 43200, 86400}) {
    if (seconds >= raw) return seconds;
  }
  return 86400 * RoundStep(raw / 86400);
}

// Enough digits to tell it from its neighbours.
std::string TickLabel(double value, double step, double largest) {
  if (std::fabs(value) < step / 2) value = 0;  // no -0
  const int step_digit = static_cast<int>(std::floor(std::log10(step) + 1e-9));
  if (largest < 1e9 && step_digit >= -6) {
    if (step_digit < 0) return absl::StrFormat("%.*f", -step_digit, value);
    return std::fabs(value) < 100 ? absl::StrFormat("%.0f", value)
                                  : ShortNumber(value);
  }
  const int digits =
      static_cast<int>(std::floor(std::log10(largest))) - step_digit;
  return absl::StrFormat("%.*g", std::clamp(digits + 1, 1, 15), value);
}

void AddTicks(double first, double step, bool time, Scale* scale) {
  const double largest =
      std::max(std::fabs(scale->low), std::fabs(scale->high));
  // By the number, as sums would drift.
  for (int i = 0; i < 1000; ++i) {
    const double tick = first + i * step;
    if (tick > scale->high + step * 1e-6) break;
    scale->ticks.push_back(tick);
    scale->labels.push_back(time ? ShortDuration(absl::Seconds(tick))
                                 : TickLabel(tick, step, largest));
  }
}

}  // namespace

Scale NumberScale(double least, double most, int ticks) {
  double low = Bounded(std::min(least, most));
  double high = Bounded(std::max(least, most));
  const double largest = std::max(std::fabs(low), std::fabs(high));
  // Also where the difference is lost in the digits of a double.
  if (high - low <= std::max(largest * 1e-9, 1e-300)) {
    const double pad = largest > 1e-290 ? largest * 0.1 : 1;
    low -= pad;
    high += pad;
  }
  const double step = RoundStep((high - low) / std::max(1, ticks));
  Scale scale;
  scale.low = std::floor(low / step + 1e-9) * step;
  scale.high = std::ceil(high / step - 1e-9) * step;
  AddTicks(scale.low, step, /*time=*/false, &scale);
  return scale;
}

Scale RangeScale(double first, double last, int ticks, bool time) {
  Scale scale;
  scale.low = Bounded(first);
  scale.high = Bounded(last);
  // One point stands at the left edge.
  if (!(scale.high - scale.low >= 1))
    scale.high = scale.low + std::max(1.0, std::fabs(scale.low) * 1e-6);
  const double raw = (scale.high - scale.low) / std::max(1, ticks);
  const double step = time ? RoundSeconds(raw) : std::max(1.0, RoundStep(raw));
  AddTicks(std::ceil(scale.low / step - 1e-9) * step, step, time, &scale);
  return scale;
}

std::string FormatFigure(double value) {
  if (std::isfinite(value) && std::fabs(value) >= 1000)
    return ShortNumber(value);
  return absl::StrFormat("%.4g", value);
}

}  // namespace trainyard::trainctl
