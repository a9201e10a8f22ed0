// A table that fits a width: what is too much is shortened or left out, the
// least important columns first.
//
//   FitTable table({{"JOB"}, {"NAME", 0, 8}, {"LOSS", 1, 0, true}});
//   table.AddRow({{"jobs/1"}, {"glyphs"}, {"0.12"}});
//   std::vector<std::string> lines = table.Lines(80, /*colour=*/false);
//
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "client/trainctl/printer.h"

namespace trainyard::trainctl {

struct FitColumn {
  std::string name;
  int rank = 0;      // 0: always shown; the highest is left out first
  size_t least = 0;  // may be shortened to so many columns; 0: never
  bool right = false;
};

class FitTable {
 public:
  explicit FitTable(std::vector<FitColumn> columns);
  // Texts are made Printable; an empty one is shown as "-".
  void AddRow(std::vector<Cell> row);
  size_t rows() const { return rows_.size(); }
  // The header and the rows, none wider than `width`.
  std::vector<std::string> Lines(size_t width, bool colour) const;

 private:
  // Widths of the columns as shown; 0: left out.
  std::vector<size_t> Fit(size_t width) const;

  std::vector<FitColumn> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace trainyard::trainctl
