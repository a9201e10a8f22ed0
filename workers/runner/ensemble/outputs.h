// The prediction files of docs/ensembles.md, written batch by batch:
// however many samples there are, only the batch at hand is in memory.
//
//   ASSIGN_OR_RETURN(PredictionFiles files,
//                    PredictionFiles::Create("/work/output", formats, shape));
//   RETURN_IF_ERROR(files.Append(fused, labels, names)); ...
//   ASSIGN_OR_RETURN(std::vector<std::string> written, files.Finish());
//
// Errors are UNAVAILABLE: the disk fails. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/fusion.h"
#include "workers/runner/ensemble/options.h"

namespace trainyard::runner {

inline constexpr char kJsonlFile[] = "predictions.jsonl";
inline constexpr char kCsvFile[] = "predictions.csv";
inline constexpr char kProbabilitiesFile[] = "probabilities.npy";
inline constexpr char kUncertaintyFile[] = "uncertainty.npy";

// Of more, predictions.csv has no column per class: rows nobody could read.
inline constexpr int64_t kMaxCsvClasses = 1000;

// A label that is not known.
inline constexpr int64_t kNoLabel = data::kNoLabel;

struct PredictedSet {
  uint64_t samples = 0;
  int64_t classes = 0;
  // One per class; fewer where the names of the last ones are not known.
  std::vector<std::string> class_names;
};

// One batch of fused predictions and what else is known of its samples: labels
// (or kNoLabel) and names (or ""), one per sample.
struct PredictedBatch {
  uint64_t first = 0;  // the first sample's index
  const FusedBatch& fused;
  absl::Span<const int64_t> labels;
  absl::Span<const std::string> names;
};

class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual absl::Status Append(const PredictedBatch& batch) = 0;
  virtual absl::Status Finish() = 0;
  virtual std::vector<std::string> Files() const = 0;
};

class PredictionFiles {
 public:
  static absl::StatusOr<PredictionFiles> Create(
      const std::string& folder, const std::vector<OutputFormat>& formats,
      const PredictedSet& set);

  // Batches come in order.
  absl::Status Append(const PredictedBatch& batch);
  // Every sample was appended. Returns the files' names; before that they are
  // not there under these.
  absl::StatusOr<std::vector<std::string>> Finish();

 private:
  PredictionFiles() = default;

  std::vector<std::unique_ptr<PredictionWriter>> writers_;
};

// Version 1.0 of NumPy's format: the header of a little-endian F32 array of
// rows x columns in C order.
std::string NpyHeader(uint64_t rows, uint64_t columns);

}  // namespace trainyard::runner
