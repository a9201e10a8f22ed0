#include "workers/agent/runner_events.h"

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxOutputs = 1000;
constexpr size_t kMaxMessageBytes = 4096;
constexpr size_t kMaxPathBytes = 4096;

absl::Status Wrong(absl::string_view member, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", member, "\": must be ", wanted));
}

// The member, or nullptr where it is absent or null.
const Json* Member(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return nullptr;
  return &*found;
}

// Counts may be written as 3 or 3.0.
absl::StatusOr<uint64_t> Count(const Json& object, const char* name,
                               uint64_t fallback, uint64_t max) {
  const Json* member = Member(object, name);
  if (member == nullptr) return fallback;
  if (member->is_number_unsigned() && member->get<uint64_t>() <= max) {
    return member->get<uint64_t>();
  }
  // 2^53: below it each whole double is exact.
  if (member->is_number_float() && member->get<double>() >= 0 &&
      member->get<double>() < 9007199254740992.0 &&
      member->get<double>() <= static_cast<double>(max) &&
      std::floor(member->get<double>()) == member->get<double>()) {
    return static_cast<uint64_t>(member->get<double>());
  }
  return Wrong(name, absl::StrCat("a whole number from 0 to ", max));
}

absl::StatusOr<std::optional<double>> Number(const Json& object,
                                             const char* name, double min,
                                             double max) {
  const Json* member = Member(object, name);
  if (member == nullptr) return std::optional<double>();
  const double value = member->is_number() ? member->get<double>() : NAN;
  if (!std::isfinite(value) || value < min || value > max) {
    return Wrong(name, absl::StrCat("a number from ", min, " to ", max));
  }
  return std::optional<double>(value);
}

absl::StatusOr<std::string> Text(const Json& object, const char* name,
                                 size_t max_bytes) {
  const Json* member = Member(object, name);
  if (member == nullptr || !member->is_string()) return Wrong(name, "a string");
  return BoundedUtf8(member->get_ref<const std::string&>(), max_bytes);
}

struct DoubleField {
  const char* name;
  double min;
  double max;
  void (v1::MetricPoint::*set)(double);
};

constexpr double kAny = std::numeric_limits<double>::max();

constexpr DoubleField kDoubleFields[] = {
    {"loss", -kAny, kAny, &v1::MetricPoint::set_loss},
    {"learning_rate", 0, kAny, &v1::MetricPoint::set_learning_rate},
    {"samples_per_second", 0, kAny, &v1::MetricPoint::set_samples_per_second},
    {"data_wait_seconds", 0, kAny, &v1::MetricPoint::set_data_wait_seconds},
    {"step_seconds", 0, kAny, &v1::MetricPoint::set_step_seconds},
    {"eta_seconds", 0, kAny, &v1::MetricPoint::set_eta_seconds},
    {"utilization", 0, 1, &v1::MetricPoint::set_utilization},
    {"validation_loss", -kAny, kAny, &v1::MetricPoint::set_validation_loss},
    {"validation_accuracy", 0, 1, &v1::MetricPoint::set_validation_accuracy},
    {"temperature_celsius", -273.15, 1000,
     &v1::MetricPoint::set_temperature_celsius},
    {"power_watts", 0, kAny, &v1::MetricPoint::set_power_watts},
};

absl::StatusOr<RunnerEvent> ParseMetrics(const Json& object) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  v1::MetricPoint point;
  ASSIGN_OR_RETURN(const uint64_t step, Count(object, "step", 0, kMax));
  point.set_step(step);
  ASSIGN_OR_RETURN(const uint64_t total, Count(object, "total_steps", 0, kMax));
  point.set_total_steps(total);
  ASSIGN_OR_RETURN(const uint64_t epoch,
                   Count(object, "epoch", 0, uint32_t{0} - 1));
  point.set_epoch(static_cast<uint32_t>(epoch));
  for (const DoubleField& field : kDoubleFields) {
    ASSIGN_OR_RETURN(const std::optional<double> value,
                     Number(object, field.name, field.min, field.max));
    if (value) (point.*field.set)(*value);
  }
  if (Member(object, "rss_bytes") != nullptr) {
    ASSIGN_OR_RETURN(const uint64_t rss, Count(object, "rss_bytes", 0, kMax));
    point.set_rss_bytes(rss);
  }
  if (Member(object, "device_memory_bytes") != nullptr) {
    ASSIGN_OR_RETURN(const uint64_t memory,
                     Count(object, "device_memory_bytes", 0, kMax));
    point.set_device_memory_bytes(memory);
  }
  return RunnerEvent(std::move(point));
}

absl::StatusOr<RunnerEvent> ParseFinished(const Json& object) {
  TerminalEvent event{.kind = TerminalEvent::Kind::kFinished};
  const Json* outputs = Member(object, "outputs");
  if (outputs == nullptr) return RunnerEvent(std::move(event));
  if (!outputs->is_array() || outputs->size() > kMaxOutputs) {
    return Wrong("outputs", absl::StrCat("a list of at most ", kMaxOutputs,
                                         " file names"));
  }
  for (const Json& name : *outputs) {
    if (!name.is_string()) return Wrong("outputs", "a list of strings");
    event.outputs.push_back(name.get<std::string>());
  }
  return RunnerEvent(std::move(event));
}

absl::StatusOr<RunnerEvent> ParseFailed(const Json& object) {
  TerminalEvent event{.kind = TerminalEvent::Kind::kFailed};
  ASSIGN_OR_RETURN(const std::string category, Text(object, "category", 64));
  if (category == "user_error") {
    event.category = FailureCategory::kUserError;
  } else if (category == "out_of_memory") {
    event.category = FailureCategory::kOutOfMemory;
  } else if (category == "infrastructure") {
    event.category = FailureCategory::kInfrastructure;
  }  // else a crash, also for categories of a newer protocol
  ASSIGN_OR_RETURN(event.message, Text(object, "message", kMaxMessageBytes));
  return RunnerEvent(std::move(event));
}

}  // namespace

absl::StatusOr<RunnerEvent> ParseRunnerEvent(absl::string_view line) {
  const Json object = Json::parse(line.begin(), line.end(), nullptr,
                                  /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return absl::InvalidArgumentError("a line must be one JSON object");
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  ASSIGN_OR_RETURN(std::string name, Text(object, "event", 64));
  if (name == "metrics") return ParseMetrics(object);
  if (name == "finished") return ParseFinished(object);
  if (name == "failed") return ParseFailed(object);
  if (name == "stopped") {
    return RunnerEvent(TerminalEvent{.kind = TerminalEvent::Kind::kStopped});
  }
  if (name == "started") {
    StartedEvent event;
    ASSIGN_OR_RETURN(event.step, Count(object, "step", 0, kMax));
    ASSIGN_OR_RETURN(event.total_steps, Count(object, "total_steps", 0, kMax));
    ASSIGN_OR_RETURN(event.parameters, Count(object, "parameters", 0, kMax));
    return RunnerEvent(event);
  }
  if (name == "checkpoint") {
    CheckpointEvent event;
    ASSIGN_OR_RETURN(event.step, Count(object, "step", 0, kMax));
    ASSIGN_OR_RETURN(event.path, Text(object, "path", kMaxPathBytes));
    return RunnerEvent(std::move(event));
  }
  return RunnerEvent(UnknownEvent{std::move(name)});
}

}  // namespace trainyard::agent
