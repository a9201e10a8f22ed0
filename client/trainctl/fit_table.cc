#include "client/trainctl/fit_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace trainyard::trainctl {
namespace {

constexpr size_t kGap = 2;

size_t Total(const std::vector<size_t>& widths) {
  size_t total = 0;
  for (const size_t width : widths) {
    if (width > 0) total += width + kGap;
  }
  return total > 0 ? total - kGap : 0;
}

// One row in those widths, never wider than `width`.
std::string Line(const std::vector<Cell>& row,
                 const std::vector<FitColumn>& columns,
                 const std::vector<size_t>& widths, size_t width, bool colour) {
  std::string line;
  size_t used = 0;
  size_t owed = 0;  // spaces before the next cell
  for (size_t i = 0; i < row.size(); ++i) {
    if (widths[i] == 0) continue;
    const std::string text = Shorten(row[i].text, widths[i]);
    const size_t padding = widths[i] - DisplayWidth(text);
    if (columns[i].right) owed += padding;
    if (used + owed >= width) break;
    line.append(owed, ' ');
    used += owed;
    const std::string fitting = Shorten(text, width - used);
    used += DisplayWidth(fitting);
    absl::StrAppend(&line, colour ? Paint(fitting, row[i].colour) : fitting);
    owed = kGap + (columns[i].right ? 0 : padding);
  }
  return line;
}

}  // namespace

FitTable::FitTable(std::vector<FitColumn> columns)
    : columns_(std::move(columns)) {}

void FitTable::AddRow(std::vector<Cell> row) {
  row.resize(columns_.size());
  for (Cell& cell : row) {
    cell.text = cell.text.empty()
                    ? "-"
                    : absl::StrReplaceAll(Printable(cell.text), {{"\t", " "}});
  }
  rows_.push_back(std::move(row));
}

std::vector<size_t> FitTable::Fit(size_t width) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t widest = DisplayWidth(columns_[i].name);
    for (const auto& row : rows_) {
      widest = std::max(widest, DisplayWidth(row[i].text));
    }
    widths.push_back(widest);
  }
  while (Total(widths) > width) {
    // Shortening is tried first, from the column that gives most.
    size_t excess = Total(widths) - width;
    std::vector<size_t> shorter = widths;
    while (excess > 0) {
      size_t most = columns_.size(), slack = 0;
      for (size_t i = 0; i < columns_.size(); ++i) {
        const size_t least = columns_[i].least;
        if (least > 0 && shorter[i] > least && shorter[i] - least > slack) {
          most = i;
          slack = shorter[i] - least;
        }
      }
      if (slack == 0) break;
      --shorter[most];
      --excess;
    }
    if (excess == 0) return shorter;
    size_t out = columns_.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (widths[i] == 0 || columns_[i].rank == 0) continue;
      if (out == columns_.size() || columns_[i].rank >= columns_[out].rank) {
        out = i;
      }
    }
    if (out == columns_.size()) return shorter;  // Line cuts the rest
    widths[out] = 0;
  }
  return widths;
}

std::vector<std::string> FitTable::Lines(size_t width, bool colour) const {
  const std::vector<size_t> widths = Fit(width);
  std::vector<Cell> header;
  for (const FitColumn& column : columns_) {
    header.push_back({column.name, Colour::kDim});
  }
  std::vector<std::string> lines = {
      Line(header, columns_, widths, width, colour)};
  for (const auto& row : rows_) {
    lines.push_back(Line(row, columns_, widths, width, colour));
  }
  return lines;
}

}  // namespace trainyard::trainctl
