// What one member says of one batch, gathered from its forward passes: mean
// class probabilities and the mean entropy of the single passes. How many
// passes there were costs no memory.
//
//   MemberBatch batch;
//   batch.Reset(64, 10);
//   for (each pass) bad = batch.AddPass(logits);
//   batch.Finish();
//   batch.probabilities  // 64 x 10
//
// Entropies are in nats. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace trainyard::runner {

struct MemberBatch {
  int64_t samples = 0;
  int64_t classes = 0;
  int64_t passes = 0;
  // samples x classes, rows sum to 1. Mean over the passes of softmax(logits).
  std::vector<double> probabilities;
  // Per sample: mean over the passes of H[softmax(logits)].
  std::vector<double> pass_entropy;
  // Per sample: H[probabilities].
  std::vector<double> entropy;
  // Per sample: the most probable class, the lowest one between equals.
  std::vector<int32_t> prediction;

  absl::Span<const double> row(int64_t sample) const {
    return absl::MakeConstSpan(probabilities)
        .subspan(static_cast<size_t>(sample * classes),
                 static_cast<size_t>(classes));
  }

  void Reset(int64_t samples, int64_t classes);
  // logits: samples x classes. Returns the first sample that has a NaN or an
  // infinity; the pass is not to be used then.
  std::optional<int64_t> AddPass(absl::Span<const float> logits);
  // Sums become means. At least one pass was added.
  void Finish();
};

// -sum p ln p of a row that sums to 1, with 0 ln 0 = 0.
double Entropy(absl::Span<const double> probabilities);

// The lowest index among the largest.
int32_t LargestIndex(absl::Span<const double> values);

}  // namespace trainyard::runner
