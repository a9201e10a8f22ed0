#include "workers/runner/ensemble/member_batch.h"

#include <algorithm>
#include <cmath>

namespace trainyard::runner {
namespace {

// Adds softmax(logits) to *sum and returns its entropy, by way of log_softmax:
// with the largest logit taken off, no exponential overflows, and
// H = ln(sum of exponentials) - sum p * (logit - largest). Not a number where a
// logit is not finite.
double AddSoftmax(absl::Span<const float> logits, double* sum) {
  double largest = logits[0];
  bool finite = true;
  for (const float logit : logits) {
    finite = finite && std::isfinite(logit);
    largest = std::max<double>(largest, logit);
  }
  if (!finite) return std::nan("");
  double total = 0;
  double weighted = 0;
  for (const float logit : logits) {
    const double shifted = logit - largest;
    const double exponential = std::exp(shifted);
    total += exponential;
    weighted += exponential * shifted;
  }
  const double log_total = std::log(total);
  for (size_t c = 0; c < logits.size(); ++c) {
    sum[c] += std::exp(logits[c] - largest - log_total);
  }
  return std::max(0.0, log_total - weighted / total);
}

}  // namespace

void MemberBatch::Reset(int64_t samples_now, int64_t classes_now) {
  samples = samples_now;
  classes = classes_now;
  passes = 0;
  const auto rows = static_cast<size_t>(samples);
  probabilities.assign(rows * static_cast<size_t>(classes), 0.0);
  pass_entropy.assign(rows, 0.0);
  entropy.assign(rows, 0.0);
  prediction.assign(rows, 0);
}

std::optional<int64_t> MemberBatch::AddPass(absl::Span<const float> logits) {
  const auto width = static_cast<size_t>(classes);
  for (size_t i = 0; i < pass_entropy.size(); ++i) {
    const double pass = AddSoftmax(logits.subspan(i * width, width),
                                   probabilities.data() + i * width);
    if (std::isnan(pass)) return static_cast<int64_t>(i);
    pass_entropy[i] += pass;
  }
  ++passes;
  return std::nullopt;
}

void MemberBatch::Finish() {
  const auto width = static_cast<size_t>(classes);
  const auto count = static_cast<double>(passes);
  for (double& one : probabilities) one /= count;
  for (size_t i = 0; i < pass_entropy.size(); ++i) {
    const auto row =
        absl::MakeConstSpan(probabilities).subspan(i * width, width);
    pass_entropy[i] /= count;
    entropy[i] = Entropy(row);
    prediction[i] = LargestIndex(row);
  }
}

double Entropy(absl::Span<const double> probabilities) {
  double entropy = 0;
  for (const double p : probabilities) {
    if (p > 0) entropy -= p * std::log(p);
  }
  return std::max(0.0, entropy);
}

int32_t LargestIndex(absl::Span<const double> values) {
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) -
                              values.begin());
}

}  // namespace trainyard::runner
