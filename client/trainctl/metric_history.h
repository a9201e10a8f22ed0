// The measurements of a job as curves. Pure.
//
//   ASSIGN_OR_RETURN(auto metrics, FindMetrics("loss,samples_per_second"));
//   MetricHistory history(metrics, /*over_time=*/false);
//   history.Add(point);
//   DrawCurve(history.Curve(0), history.Axis(), screen);
//
// Keeps a bounded number of points: where there are more, neighbours are
// merged. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/trainctl/plot.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::trainctl {

// Fields of MetricPoint.
using Metrics = std::vector<const google::protobuf::FieldDescriptor*>;

// Those of the names with commas between; each field of MetricPoint that is a
// figure can be one. INVALID_ARGUMENT lists them.
absl::StatusOr<Metrics> FindMetrics(absl::string_view names);

class MetricHistory {
 public:
  static constexpr size_t kMaxPoints = 100000;  // of one curve

  MetricHistory(Metrics metrics, bool over_time,
                size_t max_points = kMaxPoints);

  void Add(const v1::AttemptMetricPoint& one);
  size_t size() const { return curves_.size(); }
  // False: nothing to be drawn.
  bool HasFigures(size_t index) const;
  // The validation beside the training loss is among its marks.
  PlotCurve Curve(size_t index) const;
  PlotAxis Axis() const;

 private:
  struct State {
    PlotCurve curve;
    size_t points = 0;
    bool broken = true;  // the next point begins a run
  };
  void AddTo(const google::protobuf::FieldDescriptor& metric, double x,
             const v1::MetricPoint& point, State* state) const;
  void Bound(State* state) const;

  const Metrics metrics_;
  const bool over_time_;
  const size_t max_points_;
  std::vector<State> curves_;
  std::optional<double> origin_;  // of time
  PlotAxis axis_;
  bool any_ = false;
  uint32_t attempt_ = 0;
};

}  // namespace trainyard::trainctl
