#include "client/trainctl/plot.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/trainctl/plot_canvas.h"
#include "client/trainctl/plot_scale.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

constexpr int kColumnsPerTick = 12;
constexpr int kRowsPerTick = 3;
constexpr int kLeastColumns = 8;  // of a curve worth drawing

struct Extent {
  double least = 0;
  double most = 0;
};

void Widen(const std::vector<PlotPoint>& points,
           std::optional<Extent>* extent) {
  for (const PlotPoint& point : points) {
    if (!*extent) *extent = {point.least, point.most};
    (*extent)->least = std::min((*extent)->least, point.least);
    (*extent)->most = std::max((*extent)->most, point.most);
  }
}

std::string Figure(double value, const std::string& unit) {
  return absl::StrCat(FormatFigure(value), unit.empty() ? "" : " ", unit);
}

const char* MarkSign(const PlotScreen& screen) {
  return screen.ascii ? "o" : "◆";
}

// The newest run counts, not the rightmost: an attempt may go back.
std::string Title(const PlotCurve& curve, const PlotScreen& screen) {
  std::string text = curve.name;
  std::optional<Extent> extent;
  for (const auto& run : curve.runs) Widen(run, &extent);
  if (extent) {
    absl::StrAppend(&text, "  last ",
                    Figure(curve.runs.back().back().mean, curve.unit), "  min ",
                    Figure(extent->least, curve.unit), "  max ",
                    Figure(extent->most, curve.unit));
  }
  if (!curve.marks.empty()) {
    absl::StrAppend(&text, "  ", MarkSign(screen), " ", curve.mark_name, " ",
                    Figure(curve.marks.back().mean, curve.unit));
  }
  return text;
}

// Cut to the width without a character that ASCII has not.
std::string Cut(const std::string& text, const PlotScreen& screen) {
  const auto width = static_cast<size_t>(std::max(0, screen.width));
  return screen.ascii ? text.substr(0, width) : Shorten(text, width);
}

// Where figures are on the canvas.
class Mapping {
 public:
  Mapping(const PlotCanvas& canvas, const Scale& x, const Scale& y)
      : canvas_(canvas), x_(x), y_(y) {}
  int X(double value) const {
    return Dot((value - x_.low) / (x_.high - x_.low), canvas_.dot_columns());
  }
  int Y(double value) const {
    return Dot((y_.high - value) / (y_.high - y_.low), canvas_.dot_rows());
  }

 private:
  static int Dot(double share, int dots) {
    return static_cast<int>(
        std::lround(std::clamp(share, 0.0, 1.0) * (dots - 1)));
  }

  const PlotCanvas& canvas_;
  const Scale& x_;
  const Scale& y_;
};

void DrawRun(const std::vector<PlotPoint>& run, const Mapping& at,
             PlotCanvas* canvas) {
  std::map<int, PlotPoint> buckets;  // by column of dots
  for (const PlotPoint& point : run) {
    const auto [it, first] = buckets.emplace(at.X(point.x), point);
    if (!first) it->second.Merge(point);
  }
  std::optional<std::pair<int, int>> before;
  for (const auto& [x, bucket] : buckets) {
    const int y = at.Y(bucket.mean);
    if (bucket.count > 1) {
      canvas->Shade(x, at.Y(bucket.least), at.Y(bucket.most));
    }
    if (before) {
      canvas->Line(before->first, before->second, x, y);
    } else {
      canvas->Line(x, y, x, y);
    }
    before = {x, y};
  }
}

// Behind everything: only where nothing is.
void DrawBegins(const PlotAxis& axis, const Mapping& at,
                const PlotScreen& screen, int rows, PlotCanvas* canvas) {
  for (const PlotBegin& begin : axis.begins) {
    const int column = canvas->ColumnOf(at.X(begin.x));
    for (int row = 0; row < rows; ++row) {
      if (canvas->IsFree(column, row)) {
        canvas->Put(column, row, screen.ascii ? "!" : "┊", Colour::kYellow);
      }
    }
    const std::string number = absl::StrCat(begin.attempt);
    const int size = static_cast<int>(number.size());
    for (int row = 0; row < rows; ++row) {  // the first with room
      int free = 0;
      while (free < size && canvas->IsFree(column + 1 + free, row)) ++free;
      if (free < size) continue;
      for (int i = 0; i < size; ++i) {
        canvas->Put(column + 1 + i, row,
                    number.substr(static_cast<size_t>(i), 1).c_str(),
                    Colour::kYellow);
      }
      break;
    }
  }
}

// The line of the axis and its labels, after `margin` columns.
void AppendAxis(const PlotAxis& axis, const Scale& scale, const Mapping& at,
                const PlotCanvas& canvas, int columns, size_t margin,
                const PlotScreen& screen, std::vector<std::string>* lines) {
  std::vector<std::string> rule(static_cast<size_t>(columns),
                                screen.ascii ? "-" : "─");
  std::string labels;
  const size_t end = margin + 1 + static_cast<size_t>(columns);
  for (size_t i = 0; i < scale.ticks.size(); ++i) {
    const auto column =
        static_cast<size_t>(canvas.ColumnOf(at.X(scale.ticks[i])));
    rule[column] = screen.ascii ? "+" : "┬";
    const std::string& label = scale.labels[i];
    const size_t middle = margin + 1 + column;
    size_t start = middle - std::min(middle, label.size() / 2);
    start = std::min(start, end - std::min(end, label.size()));
    if (!labels.empty() && start < labels.size() + 2) continue;
    labels.append(start - labels.size(), ' ');
    labels += label;
  }
  const std::string name =
      axis.begins.empty()
          ? axis.name
          : absl::StrCat(axis.name, ", ", screen.ascii ? "!" : "┊", " attempt");
  std::string line(margin, ' ');
  line += screen.ascii ? "+" : "└";
  for (const std::string& sign : rule) line += sign;
  lines->push_back(line);
  // The name where room is left, else on a line of its own.
  const size_t used = labels.size() + 2 + DisplayWidth(name);
  if (used <= end) {
    labels.append(end - used + 2, ' ');
    lines->push_back(labels + name);
  } else {
    lines->push_back(labels);
    lines->push_back(Cut(std::string(margin + 1, ' ') + name, screen));
  }
}

}  // namespace

void PlotPoint::Merge(const PlotPoint& other) {
  const double sum = count + other.count;
  // So that the sum of large figures does not overflow.
  mean += (other.mean - mean) * (other.count / sum);
  least = std::min(least, other.least);
  most = std::max(most, other.most);
  count = sum;
}

std::vector<std::string> DrawCurve(const PlotCurve& curve, const PlotAxis& axis,
                                   const PlotScreen& screen) {
  std::optional<Extent> extent;
  for (const auto& run : curve.runs) Widen(run, &extent);
  Widen(curve.marks, &extent);
  if (!extent) {
    return {Cut(absl::StrCat(curve.name, ": no figures"), screen)};
  }
  std::vector<std::string> lines = {Cut(Title(curve, screen), screen)};
  const int rows = std::max(3, screen.height - 3);
  const Scale y = NumberScale(extent->least, extent->most,
                              std::max(1, rows / kRowsPerTick));
  size_t margin = 0;
  for (const std::string& label : y.labels) {
    margin = std::max(margin, label.size());
  }
  ++margin;  // a space before the axis
  const int columns = screen.width - static_cast<int>(margin) - 1;
  if (columns < kLeastColumns) return lines;
  const Scale x = RangeScale(axis.first, axis.last,
                             std::max(1, columns / kColumnsPerTick), axis.time);
  PlotCanvas canvas(columns, rows, screen.ascii);
  const Mapping at(canvas, x, y);
  for (const auto& run : curve.runs) DrawRun(run, at, &canvas);
  for (const PlotPoint& mark : curve.marks) {
    canvas.Put(canvas.ColumnOf(at.X(mark.x)), canvas.RowOf(at.Y(mark.mean)),
               MarkSign(screen), Colour::kGreen);
  }
  DrawBegins(axis, at, screen, rows, &canvas);
  std::map<int, std::string> labels;  // by row
  for (size_t i = 0; i < y.ticks.size(); ++i) {
    labels.emplace(canvas.RowOf(at.Y(y.ticks[i])), y.labels[i]);
  }
  for (int row = 0; row < rows; ++row) {
    const auto label = labels.find(row);
    const bool tick = label != labels.end();
    const std::string text = tick ? label->second : "";
    const char* sign =
        tick ? (screen.ascii ? "+" : "┤") : (screen.ascii ? "|" : "│");
    lines.push_back(absl::StrCat(std::string(margin - 1 - text.size(), ' '),
                                 text, " ", sign,
                                 canvas.Row(row, screen.colour)));
  }
  AppendAxis(axis, x, at, canvas, columns, margin, screen, &lines);
  return lines;
}

}  // namespace trainyard::trainctl
