// How right predictions are and how well their probabilities fit, sample by
// sample, in constant memory.
//
//   Calibration figures;
//   figures.Add(probabilities, prediction, label); ...
//   figures.ece()
//
// With p the probabilities, y the label's one-hot row and N samples:
//
//   accuracy = share with prediction = label
//   nll      = mean of -ln p[label]               (nats)
//   brier    = mean of sum over classes (p - y)^2 (Brier, 1950; 0 to 2)
//   ece      = sum over bins of n_b / N * |accuracy_b - confidence_b|, the
//              confidences in 15 equal bins ((b - 1) / 15, b / 15]
//              (Guo et al., 2017)
//
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "absl/types/span.h"

namespace trainyard::runner {

class Calibration {
 public:
  static constexpr int kBins = 15;

  // prediction and label: classes of the row.
  void Add(absl::Span<const double> probabilities, int32_t prediction,
           int64_t label);

  // Of labelled samples. Figures need at least one.
  uint64_t samples() const { return samples_; }
  double accuracy() const;
  double nll() const;
  double brier() const;
  double ece() const;

 private:
  struct Bin {
    uint64_t samples = 0;
    uint64_t correct = 0;
    double confidence = 0;
  };

  uint64_t samples_ = 0;
  uint64_t correct_ = 0;
  double nll_ = 0;
  double brier_ = 0;
  std::array<Bin, kBins> bins_;
};

}  // namespace trainyard::runner
