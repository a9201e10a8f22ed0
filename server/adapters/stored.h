// Core's values as the bytes that sqlite_store keeps, and back.
//
//   statement->BindBlob(8, EncodeLabels(labels));
//   ASSIGN_OR_RETURN(job.labels, DecodeLabels(statement->Bytes(8)));
//
// Decoding gives DATA_LOSS for bytes that are not what Encode wrote.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/core/types.h"
#include "server/core/usage.h"

namespace trainyard::adapters {

std::string EncodeScheduling(const core::SchedulingSpec& scheduling);
absl::StatusOr<core::SchedulingSpec> DecodeScheduling(absl::string_view bytes);

std::string EncodeQueueSettings(const core::QueueSettings& settings);
absl::StatusOr<core::QueueSettings> DecodeQueueSettings(
    absl::string_view bytes);

std::string EncodePastUsages(const core::PastUsages& past);
absl::StatusOr<core::PastUsages> DecodePastUsages(absl::string_view bytes);

std::string EncodeLabels(const core::Labels& labels);
absl::StatusOr<core::Labels> DecodeLabels(absl::string_view bytes);

std::string EncodeStrings(const std::vector<std::string>& values);
absl::StatusOr<std::vector<std::string>> DecodeStrings(absl::string_view bytes);

std::string EncodeFailure(const core::Failure& failure);
absl::StatusOr<core::Failure> DecodeFailure(absl::string_view bytes);

std::string EncodeCheckpoint(const core::Checkpoint& checkpoint);
absl::StatusOr<core::Checkpoint> DecodeCheckpoint(absl::string_view bytes);

std::string EncodeOutputs(const std::vector<core::Output>& outputs);
absl::StatusOr<std::vector<core::Output>> DecodeOutputs(
    absl::string_view bytes);

}  // namespace trainyard::adapters
