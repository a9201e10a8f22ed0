#include "client/trainctl/progress_line.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

double Fraction(const v1::MetricPoint& point) {
  if (point.total_steps() == 0) return 0;
  return std::min(1.0, static_cast<double>(point.step()) /
                           static_cast<double>(point.total_steps()));
}

std::string Bar(double fraction, int columns) {
  std::string bar = "[";
  const int full = static_cast<int>(fraction * columns);
  for (int i = 0; i < columns; ++i) bar += i < full ? "█" : "░";
  return bar + "]";
}

// 100 only when all is done.
std::string Percent(const v1::MetricPoint& point) {
  return absl::StrFormat("%3d %%", static_cast<int>(Fraction(point) * 100));
}

std::string OfTotal(uint64_t done, uint64_t total) {
  return total == 0 ? absl::StrCat(done) : absl::StrCat(done, "/", total);
}

const char* StepName(const ProgressView& view) {
  return view.batches ? "batch " : "step ";
}

std::string Share(double value) {
  return absl::StrFormat("%.0f %%", value * 100);
}

uint64_t Memory(const v1::MetricPoint& point) {
  return point.has_device_memory_bytes() && point.device_memory_bytes() > 0
             ? point.device_memory_bytes()
             : point.rss_bytes();
}

bool HasMemory(const v1::MetricPoint& point) {
  return point.has_rss_bytes() || point.has_device_memory_bytes();
}

// A figure of the terminal's line; the highest rank goes first when it is too
// long.
struct Part {
  int rank;
  std::string text;
};

std::vector<Part> Parts(const ProgressView& view) {
  const v1::MetricPoint& point = view.point;
  std::vector<Part> parts = {{0, Printable(view.job)}};
  if (point.total_steps() > 0) {
    parts.push_back({3, Bar(Fraction(point), 20)});
    parts.push_back({0, Percent(point)});
  }
  if (point.epoch() > 0) {
    parts.push_back({2, "epoch " + OfTotal(point.epoch(), view.epochs)});
  }
  parts.push_back(
      {7, StepName(view) + OfTotal(point.step(), point.total_steps())});
  if (point.has_loss()) {
    parts.push_back({1, absl::StrFormat("loss %.4f", point.loss())});
  }
  if (point.has_samples_per_second()) {
    parts.push_back({4, ShortNumber(point.samples_per_second()) + "/s"});
  }
  if (HasMemory(point)) {
    parts.push_back({6, "mem " + FormatBytes(Memory(point))});
  }
  if (point.has_utilization()) {
    parts.push_back({5, "util " + Share(point.utilization())});
  }
  if (point.has_eta_seconds()) {
    parts.push_back(
        {2, "eta " + ShortDuration(absl::Seconds(point.eta_seconds()))});
  }
  return parts;
}

}  // namespace

std::string ProgressLine(const ProgressView& view, int width) {
  std::vector<Part> parts = Parts(view);
  const size_t columns = static_cast<size_t>(std::max(width, 1));
  while (true) {
    std::string line = absl::StrJoin(
        parts, "  ",
        [](std::string* out, const Part& part) { out->append(part.text); });
    if (DisplayWidth(line) <= columns) return line;
    const auto least = std::max_element(
        parts.begin(), parts.end(),
        [](const Part& a, const Part& b) { return a.rank < b.rank; });
    if (least->rank == 0) return Shorten(line, columns);
    parts.erase(least);
  }
}

std::string PlainProgress(const ProgressView& view) {
  const v1::MetricPoint& point = view.point;
  std::string line = Printable(view.job);
  if (point.total_steps() > 0) {
    absl::StrAppend(&line, " ", static_cast<int>(Fraction(point) * 100), " %");
  }
  if (point.epoch() > 0) {
    absl::StrAppend(&line, " epoch ", OfTotal(point.epoch(), view.epochs));
  }
  absl::StrAppend(&line, " ", StepName(view),
                  OfTotal(point.step(), point.total_steps()));
  if (point.has_loss())
    absl::StrAppendFormat(&line, " loss %.4f", point.loss());
  if (point.has_samples_per_second()) {
    absl::StrAppend(&line, " samples/s ",
                    ShortNumber(point.samples_per_second()));
  }
  if (HasMemory(point)) {
    absl::StrAppend(&line, " memory ", FormatBytes(Memory(point)));
  }
  if (point.has_utilization()) {
    absl::StrAppend(&line, " utilization ", Share(point.utilization()));
  }
  if (point.has_eta_seconds()) {
    absl::StrAppend(&line, " eta ",
                    ShortDuration(absl::Seconds(point.eta_seconds())));
  }
  return line;
}

std::string ValidationLine(const v1::MetricPoint& point) {
  if (!point.has_validation_loss() && !point.has_validation_accuracy()) {
    return "";
  }
  std::vector<std::string> figures;
  if (point.has_validation_loss()) {
    figures.push_back(absl::StrFormat("loss %.4f", point.validation_loss()));
  }
  if (point.has_validation_accuracy()) {
    figures.push_back(
        absl::StrFormat("accuracy %.2f %%", point.validation_accuracy() * 100));
  }
  const std::string text = absl::StrJoin(figures, ", ");
  if (point.epoch() == 0) return text;
  return absl::StrCat("epoch ", point.epoch(), ": validation ", text);
}

}  // namespace trainyard::trainctl
