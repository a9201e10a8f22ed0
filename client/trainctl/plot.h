// Curves as characters: braille dots where the terminal has them, else ASCII.
// Pure.
//
//   PlotCurve curve{"loss", "", {{{10, 2.3}, {20, 1.7}}}};
//   for (const std::string& line : DrawCurve(curve, {}, {.width = 80}))
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::trainctl {

// One measurement, or several that were merged.
struct PlotPoint {
  PlotPoint(double at, double value)
      : x(at), mean(value), least(value), most(value) {}

  // Another one, further to the right.
  void Merge(const PlotPoint& other);

  double x;
  double mean;  // finite, as the two below
  double least;
  double most;
  double count = 1;
};

struct PlotCurve {
  std::string name;
  std::string unit;  // may be empty
  // Runs of points by rising x; between runs the figure is not known, or
  // another attempt begins.
  std::vector<std::vector<PlotPoint>> runs;
  // Points that stand for themselves, and what they are.
  std::vector<PlotPoint> marks;
  std::string mark_name;
};

// Where an attempt begins.
struct PlotBegin {
  double x = 0;
  uint32_t attempt = 0;
};

struct PlotAxis {
  double first = 0;
  double last = 1;
  bool time = false;  // x is seconds
  std::string name = "step";
  std::vector<PlotBegin> begins;
};

struct PlotScreen {
  int width = 80;
  int height = 14;  // lines of one curve with title and axis, at least 6
  bool ascii = false;
  bool colour = false;
};

// A title with the newest figures, the curve between its axes. No line is wider
// than the width. Each column shows the mean of what falls into it as the
// curve, and least to most as a shade behind it.
std::vector<std::string> DrawCurve(const PlotCurve& curve, const PlotAxis& axis,
                                   const PlotScreen& screen);

}  // namespace trainyard::trainctl
