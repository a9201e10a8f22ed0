#include "client/trainctl/metric_history.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/trainctl/plot_scale.h"
#include "client/trainctl/text.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {
namespace {

using google::protobuf::FieldDescriptor;

constexpr size_t kMaxBegins = 1000;

// Every optional number.
Metrics AllMetrics() {
  const google::protobuf::Descriptor& type = *v1::MetricPoint::descriptor();
  Metrics metrics;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const auto kind = field->cpp_type();
    if (!field->is_repeated() && field->has_presence() &&
        (kind == FieldDescriptor::CPPTYPE_DOUBLE ||
         kind == FieldDescriptor::CPPTYPE_UINT64)) {
      metrics.push_back(field);
    }
  }
  return metrics;
}

std::string NameOf(const FieldDescriptor& metric) {
  return std::string(metric.name());
}

std::optional<double> Value(const v1::MetricPoint& point,
                            const FieldDescriptor& metric) {
  const google::protobuf::Reflection& reflection = *point.GetReflection();
  if (!reflection.HasField(point, &metric)) return std::nullopt;
  const double value =
      metric.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE
          ? reflection.GetDouble(point, &metric)
          : static_cast<double>(reflection.GetUInt64(point, &metric));
  if (!std::isfinite(value)) return std::nullopt;
  return std::clamp(value, -kLargestFigure, kLargestFigure);
}

// What a figure is multiplied by to be in the unit.
struct Unit {
  std::string name;
  double factor = 1;
};

Unit UnitOf(const std::string& name, double most) {
  if (absl::EndsWith(name, "_bytes")) {
    if (most >= 1ull << 30) return {"GiB", 1.0 / (1ull << 30)};
    return {"MiB", 1.0 / (1ull << 20)};
  }
  if (absl::EndsWith(name, "_seconds")) return {"s"};
  if (absl::EndsWith(name, "_per_second")) return {"/s"};
  if (absl::EndsWith(name, "_celsius")) return {"C"};
  if (absl::EndsWith(name, "_watts")) return {"W"};
  if (name == "utilization" || absl::EndsWith(name, "accuracy")) {
    return {"%", 100};
  }
  return {""};
}

void Multiply(double factor, std::vector<PlotPoint>* points) {
  for (PlotPoint& point : *points) {
    point.mean *= factor;
    point.least *= factor;
    point.most *= factor;
  }
}

// Each two neighbours become one.
void Halve(std::vector<PlotPoint>* points) {
  size_t kept = 0;
  for (size_t i = 0; i < points->size(); i += 2) {
    PlotPoint point = (*points)[i];
    if (i + 1 < points->size()) point.Merge((*points)[i + 1]);
    (*points)[kept++] = point;
  }
  points->erase(points->begin() + static_cast<std::ptrdiff_t>(kept),
                points->end());
}

bool IsValidation(const v1::MetricPoint& point) {
  return point.has_validation_loss() || point.has_validation_accuracy();
}

}  // namespace

absl::StatusOr<Metrics> FindMetrics(absl::string_view names) {
  const Metrics all = AllMetrics();
  std::vector<std::string> known;
  for (const FieldDescriptor* metric : all) known.push_back(NameOf(*metric));
  Metrics found;
  for (const absl::string_view part : absl::StrSplit(names, ',')) {
    const std::string name(absl::StripAsciiWhitespace(part));
    const auto it = std::find(known.begin(), known.end(), name);
    if (it == known.end()) {
      const std::string nearest = NearestName(name, known);
      return absl::InvalidArgumentError(absl::StrCat(
          "--plot \"", name, "\": ",
          nearest.empty() ? ""
                          : absl::StrCat("did you mean ", nearest, "? It "),
          "must be of ", absl::StrJoin(known, ", ")));
    }
    const FieldDescriptor* metric =
        all[static_cast<size_t>(it - known.begin())];
    if (std::find(found.begin(), found.end(), metric) == found.end()) {
      found.push_back(metric);
    }
  }
  return found;
}

MetricHistory::MetricHistory(Metrics metrics, bool over_time, size_t max_points)
    : metrics_(std::move(metrics)),
      over_time_(over_time),
      max_points_(std::max<size_t>(max_points, 2)),
      curves_(metrics_.size()) {
  for (size_t i = 0; i < curves_.size(); ++i) {
    curves_[i].curve.name = NameOf(*metrics_[i]);
    if (curves_[i].curve.name == "loss") {
      curves_[i].curve.mark_name = "validation";
    }
  }
  axis_.time = over_time_;
  axis_.name = over_time_ ? "time" : "step";
}

void MetricHistory::Add(const v1::AttemptMetricPoint& one) {
  const v1::MetricPoint& point = one.point();
  double x = static_cast<double>(point.step());
  if (over_time_) {
    if (!point.has_time()) return;
    const double at =
        absl::ToDoubleSeconds(ToTime(point.time()) - absl::UnixEpoch());
    if (!origin_) origin_ = at;
    x = at - *origin_;
  }
  axis_.first = any_ ? std::min(axis_.first, x) : x;
  axis_.last = any_ ? std::max(axis_.last, x) : x;
  if (!any_ || one.attempt() != attempt_) {
    attempt_ = one.attempt();
    if (axis_.begins.size() < kMaxBegins) axis_.begins.push_back({x, attempt_});
    for (State& state : curves_) state.broken = true;
  }
  any_ = true;
  for (size_t i = 0; i < metrics_.size(); ++i) {
    AddTo(*metrics_[i], x, point, &curves_[i]);
  }
}

void MetricHistory::AddTo(const FieldDescriptor& metric, double x,
                          const v1::MetricPoint& point, State* state) const {
  PlotCurve& curve = state->curve;
  if (!curve.mark_name.empty() && point.has_validation_loss() &&
      std::isfinite(point.validation_loss())) {
    curve.marks.emplace_back(x, std::clamp(point.validation_loss(),
                                           -kLargestFigure, kLargestFigure));
    if (curve.marks.size() > max_points_) Halve(&curve.marks);
  }
  const std::optional<double> value = Value(point, metric);
  if (!value) {
    // Only some points have validations: that is no gap in them, and a point
    // with nothing else is none in the others.
    const bool sparse = absl::StartsWith(curve.name, "validation_");
    const bool present = point.GetReflection()->HasField(point, &metric);
    if (present || !(sparse || IsValidation(point))) state->broken = true;
    return;
  }
  if (state->broken || curve.runs.empty() || x < curve.runs.back().back().x) {
    curve.runs.emplace_back();
  }
  state->broken = false;
  curve.runs.back().emplace_back(x, *value);
  ++state->points;
  if (state->points > max_points_) Bound(state);
}

void MetricHistory::Bound(State* state) const {
  auto& runs = state->curve.runs;
  state->points = 0;
  for (auto& run : runs) {
    Halve(&run);
    state->points += run.size();
  }
  // Where gaps are nearly all there is, the oldest go.
  if (state->points <= max_points_ * 3 / 4) return;
  runs.erase(runs.begin(),
             runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2));
  state->points = 0;
  for (const auto& run : runs) state->points += run.size();
}

bool MetricHistory::HasFigures(size_t index) const {
  const PlotCurve& curve = curves_[index].curve;
  return !curve.runs.empty() || !curve.marks.empty();
}

PlotCurve MetricHistory::Curve(size_t index) const {
  PlotCurve curve = curves_[index].curve;
  double most = 0;
  for (const auto& run : curve.runs) {
    for (const PlotPoint& point : run) most = std::max(most, point.most);
  }
  const Unit unit = UnitOf(curve.name, most);
  curve.unit = unit.name;
  for (auto& run : curve.runs) Multiply(unit.factor, &run);
  Multiply(unit.factor, &curve.marks);
  return curve;
}

PlotAxis MetricHistory::Axis() const {
  PlotAxis axis = axis_;
  // A single attempt begins where the axis does.
  if (axis.begins.size() == 1) axis.begins.clear();
  return axis;
}

}  // namespace trainyard::trainctl
