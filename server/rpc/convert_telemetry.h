// Log lines and metric points between the wire and telemetry's store, whose
// payloads are serialised v1::LogLine and v1::MetricPoint.
//
//   ASSIGN_OR_RETURN(std::vector<telemetry::Entry> entries,
//                    FromProto(request));
//   ASSIGN_OR_RETURN(*response.add_lines(), ToLogLine(stored_entry));
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/telemetry/points.h"
#include "trainyard/v1/job_service.pb.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

inline constexpr int kMaxTelemetryRecords = 1000;
inline constexpr size_t kMaxLineBytes = 8192;
// A point of 256 devices with long names has less.
inline constexpr size_t kMaxPointBytes = 128 * 1024;

// In the order of the request. Checks counts, keys, sequences and kinds; the
// worker's name is the caller's to check. A longer line is cut, a time that is
// none is left out: neither is worth the loss of the rest.
absl::StatusOr<std::vector<telemetry::Entry>> FromProto(
    const v1::ReportTelemetryRequest& request);

// DATA_LOSS: the stored payload is damaged.
absl::StatusOr<v1::AttemptLogLine> ToLogLine(
    const telemetry::StoredEntry& entry);
absl::StatusOr<v1::AttemptMetricPoint> ToMetricPoint(
    const telemetry::StoredEntry& entry);
absl::StatusOr<telemetry::Progress> ToProgress(
    const telemetry::StoredEntry& entry);

}  // namespace trainyard::rpc
