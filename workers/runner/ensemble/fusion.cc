#include "workers/runner/ensemble/fusion.h"

#include <algorithm>
#include <numeric>

namespace trainyard::runner {
namespace {

void Normalize(std::vector<double>* weights) {
  const double sum = std::accumulate(weights->begin(), weights->end(), 0.0);
  for (double& one : *weights) one /= sum;
}

// The class with the most votes.
int32_t Vote(absl::Span<const MemberBatch* const> members, size_t sample,
             absl::Span<const double> probabilities) {
  // Of the classes that have votes; there are at most as many as members.
  std::vector<std::pair<int32_t, int>> votes;
  for (const MemberBatch* member : members) {
    const int32_t wanted = member->prediction[sample];
    const auto found =
        std::find_if(votes.begin(), votes.end(),
                     [wanted](const auto& one) { return one.first == wanted; });
    if (found == votes.end()) {
      votes.emplace_back(wanted, 1);
    } else {
      ++found->second;
    }
  }
  const auto better = [&](const auto& a, const auto& b) {
    const double p_a = probabilities[static_cast<size_t>(a.first)];
    const double p_b = probabilities[static_cast<size_t>(b.first)];
    if (a.second != b.second) return a.second > b.second;
    if (p_a != p_b) return p_a > p_b;
    return a.first < b.first;
  };
  return std::min_element(votes.begin(), votes.end(), better)->first;
}

}  // namespace

Fuser::Fuser(FusionRule rule, const std::vector<double>& weights)
    : rule_(rule),
      weights_(rule == FusionRule::kWeighted
                   ? weights
                   : std::vector<double>(weights.size(), 1.0)) {
  Normalize(&weights_);
}

void Fuser::Fuse(absl::Span<const MemberBatch* const> members,
                 FusedBatch* fused) const {
  fused->samples = members[0]->samples;
  fused->classes = members[0]->classes;
  const auto samples = static_cast<size_t>(fused->samples);
  fused->probabilities.assign(members[0]->probabilities.size(), 0.0);
  fused->prediction.resize(samples);
  fused->confidence.resize(samples);
  fused->uncertainty.resize(samples);
  std::vector<double> weights = weights_;
  for (size_t i = 0; i < samples; ++i) {
    if (rule_ == FusionRule::kUncertainty) WeighByEntropy(members, i, &weights);
    FuseSample(members, i, weights, fused);
  }
}

void Fuser::WeighByEntropy(absl::Span<const MemberBatch* const> members,
                           size_t sample, std::vector<double>* weights) const {
  for (size_t m = 0; m < members.size(); ++m) {
    (*weights)[m] = 1 / (members[m]->entropy[sample] + kEntropyEpsilon);
  }
  Normalize(weights);
}

void Fuser::FuseSample(absl::Span<const MemberBatch* const> members,
                       size_t sample, const std::vector<double>& weights,
                       FusedBatch* fused) const {
  const auto classes = static_cast<size_t>(fused->classes);
  double* const row = fused->probabilities.data() + sample * classes;
  double aleatoric = 0;
  for (size_t m = 0; m < members.size(); ++m) {
    const double weight = weights[m];
    const double* const of =
        members[m]->probabilities.data() + sample * classes;
    for (size_t c = 0; c < classes; ++c) row[c] += weight * of[c];
    aleatoric += weight * members[m]->pass_entropy[sample];
  }
  const absl::Span<const double> p(row, classes);
  const int32_t prediction =
      rule_ == FusionRule::kVote ? Vote(members, sample, p) : LargestIndex(p);
  size_t others = 0;
  for (const MemberBatch* member : members) {
    others += member->prediction[sample] != prediction;
  }
  fused->prediction[sample] = prediction;
  fused->confidence[sample] = p[static_cast<size_t>(prediction)];
  const double entropy = Entropy(p);
  fused->uncertainty[sample] = {
      .entropy = entropy,
      .aleatoric = aleatoric,
      .epistemic = std::max(0.0, entropy - aleatoric),
      .disagreement =
          static_cast<double>(others) / static_cast<double>(members.size())};
}

}  // namespace trainyard::runner
