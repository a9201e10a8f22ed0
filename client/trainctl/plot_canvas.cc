#include "client/trainctl/plot_canvas.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace trainyard::trainctl {
namespace {

// The bit of a dot, by row and column (Unicode, U+2800 to U+28FF).
constexpr unsigned kBits[4][2] = {
    {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

std::string Braille(unsigned bits) {
  const unsigned point = 0x2800 + bits;
  return {static_cast<char>(0xe0 | (point >> 12)),
          static_cast<char>(0x80 | ((point >> 6) & 0x3f)),
          static_cast<char>(0x80 | (point & 0x3f))};
}

}  // namespace

PlotCanvas::PlotCanvas(int columns, int rows, bool ascii)
    : columns_(columns),
      rows_(rows),
      ascii_(ascii),
      dots_across_(ascii ? 1 : 2),
      dots_down_(ascii ? 1 : 4),
      cells_(static_cast<size_t>(columns) * static_cast<size_t>(rows)) {}

bool PlotCanvas::Inside(int column, int row) const {
  return column >= 0 && column < columns_ && row >= 0 && row < rows_;
}

PlotCanvas::Cell& PlotCanvas::At(int column, int row) {
  return cells_[static_cast<size_t>(row * columns_ + column)];
}

const PlotCanvas::Cell& PlotCanvas::At(int column, int row) const {
  return cells_[static_cast<size_t>(row * columns_ + column)];
}

void PlotCanvas::Set(int x, int y, unsigned Cell::*layer) {
  if (x < 0 || y < 0 || x >= dot_columns() || y >= dot_rows()) return;
  At(ColumnOf(x), RowOf(y)).*layer |= kBits[y % dots_down_][x % dots_across_];
}

void PlotCanvas::Line(int x0, int y0, int x1, int y1) {
  // Bresenham's: a dot for each step along the longer side.
  const int width = std::abs(x1 - x0), height = -std::abs(y1 - y0);
  const int right = x0 < x1 ? 1 : -1, down = y0 < y1 ? 1 : -1;
  int error = width + height;
  while (true) {
    Set(x0, y0, &Cell::line);
    if (x0 == x1 && y0 == y1) return;
    const int twice = 2 * error;
    if (twice >= height) {
      error += height;
      x0 += right;
    }
    if (twice <= width) {
      error += width;
      y0 += down;
    }
  }
}

void PlotCanvas::Shade(int x, int y0, int y1) {
  for (int y = std::min(y0, y1); y <= std::max(y0, y1); ++y) {
    Set(x, y, &Cell::shade);
  }
}

void PlotCanvas::Put(int column, int row, const char* text, Colour colour) {
  if (!Inside(column, row)) return;
  At(column, row).over = text;
  At(column, row).over_colour = colour;
}

bool PlotCanvas::IsFree(int column, int row) const {
  if (!Inside(column, row)) return false;
  const Cell& cell = At(column, row);
  return cell.line == 0 && cell.shade == 0 && cell.over.empty();
}

// The shade shows where the line is not, so that the line stays thin.
std::string PlotCanvas::Text(const Cell& cell) const {
  if (!cell.over.empty()) return cell.over;
  const unsigned bits = cell.line != 0 ? cell.line : cell.shade;
  if (bits == 0) return " ";
  if (ascii_) return cell.line != 0 ? "*" : ":";
  return Braille(bits);
}

std::string PlotCanvas::Row(int row, bool colour) const {
  int end = columns_;
  while (end > 0 && IsFree(end - 1, row)) --end;
  std::string text;
  std::string same;  // characters of one colour
  Colour last = Colour::kNone;
  for (int column = 0; column < end; ++column) {
    const Cell& cell = At(column, row);
    const Colour now = !colour              ? Colour::kNone
                       : !cell.over.empty() ? cell.over_colour
                       : cell.line == 0     ? Colour::kDim
                                            : Colour::kNone;
    if (now != last) {
      absl::StrAppend(&text, Paint(same, last));
      same.clear();
      last = now;
    }
    same += Text(cell);
  }
  return text + Paint(same, last);
}

}  // namespace trainyard::trainctl
