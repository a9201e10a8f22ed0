// Several members' predictions of one batch become one, with its uncertainty.
// Pure arithmetic; logarithms are natural.
//
//   Fuser fuser(FusionRule::kMean, {1, 1, 1});
//   fuser.Fuse({&a, &b, &c}, &fused);
//   fused.prediction[0], fused.uncertainty[0].epistemic
//
// Of a sample, with p_ms the probabilities of member m in pass s, w_m the
// members' weights (their sum is 1) and H the entropy:
//
//   p_m  = mean over s of p_ms      (MC dropout: Gal & Ghahramani, 2016)
//   p    = sum over m of w_m p_m
//   w_m  ~ 1                        mean and vote
//          weight of the member     weighted
//          1 / (H[p_m] + epsilon)   uncertainty
//   entropy   = H[p]                            total uncertainty
//   aleatoric = sum of w_m mean over s of H[p_ms]   what the data leaves open
//   epistemic = entropy - aleatoric             what the models do not know:
//     the mutual information of prediction and model (Depeweg et al., 2018;
//     Smith & Gal, 2018), never below 0
//   prediction = argmax p; under vote the class which most members predict,
//     between equals the one with the larger p, then the lower one
//   disagreement = share of the members whose argmax p_m is not the prediction
//
// Thread-compatible.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "workers/runner/ensemble/member_batch.h"
#include "workers/runner/ensemble/options.h"

namespace trainyard::runner {

// Keeps the weight of a member that is certain finite: one with an entropy well
// below it weighs no more than others like it.
inline constexpr double kEntropyEpsilon = 1e-6;

struct Uncertainty {
  double entropy = 0;
  double aleatoric = 0;
  double epistemic = 0;
  double disagreement = 0;  // 0 to 1
};

struct FusedBatch {
  int64_t samples = 0;
  int64_t classes = 0;
  std::vector<double> probabilities;  // samples x classes
  std::vector<int32_t> prediction;
  std::vector<double> confidence;  // the probability of the prediction
  std::vector<Uncertainty> uncertainty;

  absl::Span<const double> row(int64_t sample) const {
    return absl::MakeConstSpan(probabilities)
        .subspan(static_cast<size_t>(sample * classes),
                 static_cast<size_t>(classes));
  }
};

class Fuser {
 public:
  // weights: one per member, at least 0, with a sum above 0; they count under
  // kWeighted alone.
  Fuser(FusionRule rule, const std::vector<double>& weights);

  // One finished batch per member, all of the same size.
  void Fuse(absl::Span<const MemberBatch* const> members,
            FusedBatch* fused) const;

 private:
  void FuseSample(absl::Span<const MemberBatch* const> members, size_t sample,
                  const std::vector<double>& weights, FusedBatch* fused) const;
  void WeighByEntropy(absl::Span<const MemberBatch* const> members,
                      size_t sample, std::vector<double>* weights) const;

  const FusionRule rule_;
  std::vector<double> weights_;  // sum 1
};

}  // namespace trainyard::runner
