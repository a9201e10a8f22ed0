// Axes: where the round numbers are and how they are written. Pure.
//
//   const Scale scale = NumberScale(0.03, 2.31, /*ticks=*/4);
//   scale.low == 0; scale.high == 2.5; scale.labels[1] == "0.5"
#pragma once

#include <string>
#include <vector>

namespace trainyard::trainctl {

struct Scale {
  double low = 0;
  double high = 1;                  // above low
  std::vector<double> ticks;        // rising, from low to high
  std::vector<std::string> labels;  // of the ticks
};

// Figures beyond it, and infinite ones, are taken for it, so that differences
// stay finite.
constexpr double kLargestFigure = 1e300;

// A scale that begins and ends at a tick, with about so many of them. A range
// without extent gets some.
Scale NumberScale(double least, double most, int ticks);
// From `first` to `last` exactly. With `time` they are seconds, and the labels
// are such as "1m30s".
Scale RangeScale(double first, double last, int ticks, bool time);

// "0.01234", "12,345": four digits, or all before the point.
std::string FormatFigure(double value);

}  // namespace trainyard::trainctl
