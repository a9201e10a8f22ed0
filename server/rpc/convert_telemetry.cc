#include "server/rpc/convert_telemetry.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_readings.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

telemetry::Progress ToProgress(const v1::MetricPoint& point) {
  telemetry::Progress progress;
  progress.step = point.step();
  progress.total_steps = point.total_steps();
  progress.epoch = point.epoch();
  if (point.has_samples_per_second()) {
    progress.samples_per_second = point.samples_per_second();
  }
  if (point.has_loss()) progress.loss = point.loss();
  return progress;
}

// The message with a time that is none left out.
template <typename Message>
std::string Payload(Message message) {
  if (!FromProto("", message.time()).ok()) message.clear_time();
  return message.SerializeAsString();
}

absl::StatusOr<telemetry::Entry> ToEntry(const std::string& field,
                                         const v1::TelemetryRecord& record) {
  ASSIGN_OR_RETURN(const core::AttemptKey key,
                   FromProto(absl::StrCat(field, ".key"), record.key()));
  RETURN_IF_ERROR(CheckWhole(absl::StrCat(field, ".sequence"),
                             record.sequence(), 1, kMaxNumber));
  telemetry::Entry entry;
  entry.attempt = {key.job.value(), key.attempt};
  entry.sequence = record.sequence();
  switch (record.record_case()) {
    case v1::TelemetryRecord::kPoint:
      if (record.point().ByteSizeLong() > kMaxPointBytes) {
        return WrongValue(absl::StrCat(field, ".point"),
                          absl::StrCat(record.point().ByteSizeLong(), " bytes"),
                          absl::StrCat("at most ", kMaxPointBytes));
      }
      entry.kind = telemetry::Kind::kPoint;
      entry.payload = Payload(record.point());
      entry.progress = ToProgress(record.point());
      entry.reading =
          std::make_shared<telemetry::PointReading>(ToReading(record.point()));
      return entry;
    case v1::TelemetryRecord::kLine: {
      v1::LogLine line = record.line();
      line.set_text(Head(line.text(), kMaxLineBytes));
      entry.kind = telemetry::Kind::kLine;
      entry.payload = Payload(std::move(line));
      return entry;
    }
    case v1::TelemetryRecord::RECORD_NOT_SET:
      break;
  }
  return NotSet(field, "a point or a line");
}

absl::Status Damaged(const telemetry::StoredEntry& entry) {
  return absl::DataLossError(
      absl::StrCat("the store holds ", entry.payload.size(),
                   " bytes of telemetry at position ", entry.position,
                   " that cannot be read"));
}

}  // namespace

absl::StatusOr<std::vector<telemetry::Entry>> FromProto(
    const v1::ReportTelemetryRequest& request) {
  RETURN_IF_ERROR(CheckCount("records",
                             static_cast<size_t>(request.records_size()),
                             kMaxTelemetryRecords));
  std::vector<telemetry::Entry> entries;
  entries.reserve(static_cast<size_t>(request.records_size()));
  for (int i = 0; i < request.records_size(); ++i) {
    ASSIGN_OR_RETURN(
        telemetry::Entry entry,
        ToEntry(absl::StrCat("records[", i, "]"), request.records(i)));
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<telemetry::Progress> ToProgress(
    const telemetry::StoredEntry& entry) {
  v1::MetricPoint point;
  if (!point.ParseFromString(entry.payload)) return Damaged(entry);
  return ToProgress(point);
}

absl::StatusOr<v1::AttemptLogLine> ToLogLine(
    const telemetry::StoredEntry& entry) {
  v1::AttemptLogLine line;
  line.set_attempt(entry.attempt);
  if (!line.mutable_line()->ParseFromString(entry.payload)) {
    return Damaged(entry);
  }
  return line;
}

absl::StatusOr<v1::AttemptMetricPoint> ToMetricPoint(
    const telemetry::StoredEntry& entry) {
  v1::AttemptMetricPoint point;
  point.set_attempt(entry.attempt);
  if (!point.mutable_point()->ParseFromString(entry.payload)) {
    return Damaged(entry);
  }
  return point;
}

}  // namespace trainyard::rpc
