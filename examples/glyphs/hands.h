// How people write the ten digits: each digit in several hands, each hand a
// few strokes.
//
//   for (const Stroke& stroke : HandsOf(7)[0].strokes) …
#pragma once

#include <vector>

#include "absl/types/span.h"

namespace trainyard::glyphs {

// Units: the digit's box is [-1, 1] on both axes, y grows downwards.
struct Point {
  double x = 0;
  double y = 0;
};

// The pen goes down at the first point and up at the last; between them it
// follows a Catmull-Rom curve through all points. Sharp corners part strokes.
using Stroke = std::vector<Point>;

struct Hand {
  std::vector<Stroke> strokes;
};

// digit: 0 to 9.
absl::Span<const Hand> HandsOf(int digit);

}  // namespace trainyard::glyphs
