// A raster of dots with a line and a shade behind it, and characters above
// both. Pure.
//
//   PlotCanvas canvas(70, 10, /*ascii=*/false);
//   canvas.Line(0, 0, canvas.dot_columns() - 1, canvas.dot_rows() - 1);
//   canvas.Put(3, 5, "◆", Colour::kGreen);
//   std::string top = canvas.Row(0, /*colour=*/true);
#pragma once

#include <string>
#include <vector>

#include "client/trainctl/text.h"

namespace trainyard::trainctl {

class PlotCanvas {
 public:
  // In characters; each has 2 × 4 dots of braille, or one of ASCII.
  PlotCanvas(int columns, int rows, bool ascii);

  int dot_columns() const { return columns_ * dots_across_; }
  int dot_rows() const { return rows_ * dots_down_; }
  int ColumnOf(int dot) const { return dot / dots_across_; }
  int RowOf(int dot) const { return dot / dots_down_; }

  // Dots count from the top left. What is outside is left out.
  void Line(int x0, int y0, int x1, int y1);
  void Shade(int x, int y0, int y1);
  // A character of one column, over the dots.
  void Put(int column, int row, const char* text, Colour colour);
  // Whether nothing is there.
  bool IsFree(int column, int row) const;

  // Without spaces at its end.
  std::string Row(int row, bool colour) const;

 private:
  struct Cell {
    unsigned line = 0;  // dots, one bit each as in Unicode's braille patterns
    unsigned shade = 0;
    std::string over;
    Colour over_colour = Colour::kNone;
  };
  void Set(int x, int y, unsigned Cell::*layer);
  bool Inside(int column, int row) const;
  Cell& At(int column, int row);
  const Cell& At(int column, int row) const;
  std::string Text(const Cell& cell) const;

  const int columns_;
  const int rows_;
  const bool ascii_;
  const int dots_across_;
  const int dots_down_;
  std::vector<Cell> cells_;
};

}  // namespace trainyard::trainctl
