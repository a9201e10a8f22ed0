#include "workers/runner/ensemble/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace trainyard::runner {

void Calibration::Add(absl::Span<const double> probabilities,
                      int32_t prediction, int64_t label) {
  const bool correct = prediction == label;
  const double of_label = probabilities[static_cast<size_t>(label)];
  const double confidence = probabilities[static_cast<size_t>(prediction)];
  ++samples_;
  correct_ += correct;
  // A probability that has vanished costs much, but not everything.
  nll_ -= std::log(std::max(of_label, std::numeric_limits<double>::min()));
  double squares = 0;
  for (const double p : probabilities) squares += p * p;
  brier_ += squares - 2 * of_label + 1;
  const int bin = static_cast<int>(std::ceil(confidence * kBins)) - 1;
  Bin& at = bins_[static_cast<size_t>(std::clamp(bin, 0, kBins - 1))];
  ++at.samples;
  at.correct += correct;
  at.confidence += confidence;
}

double Calibration::accuracy() const {
  return static_cast<double>(correct_) / static_cast<double>(samples_);
}

double Calibration::nll() const { return nll_ / static_cast<double>(samples_); }

double Calibration::brier() const {
  return brier_ / static_cast<double>(samples_);
}

double Calibration::ece() const {
  double gaps = 0;
  for (const Bin& bin : bins_) {
    gaps += std::abs(static_cast<double>(bin.correct) - bin.confidence);
  }
  return gaps / static_cast<double>(samples_);
}

}  // namespace trainyard::runner
