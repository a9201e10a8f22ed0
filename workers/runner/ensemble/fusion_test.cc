#include "workers/runner/ensemble/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "workers/runner/ensemble/calibration.h"
#include "workers/runner/ensemble/member_batch.h"

namespace trainyard::runner {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr double kNear = 1e-6;
const double kLn2 = std::log(2.0);

// One pass of two-class samples with these probabilities of class 0.
MemberBatch Member(const std::vector<double>& of_class_0) {
  MemberBatch batch;
  batch.Reset(static_cast<int64_t>(of_class_0.size()), 2);
  std::vector<float> logits;
  for (const double p : of_class_0) {
    logits.push_back(static_cast<float>(std::log(p)));
    logits.push_back(static_cast<float>(std::log(1 - p)));
  }
  EXPECT_EQ(batch.AddPass(logits), std::nullopt);
  batch.Finish();
  return batch;
}

FusedBatch Fused(FusionRule rule, const std::vector<double>& weights,
                 const std::vector<MemberBatch>& members) {
  std::vector<const MemberBatch*> borrowed;
  for (const MemberBatch& member : members) borrowed.push_back(&member);
  FusedBatch fused;
  Fuser(rule, weights).Fuse(borrowed, &fused);
  return fused;
}

TEST(MemberBatchTest, TurnsLogitsIntoProbabilitiesAndEntropy) {
  MemberBatch batch;
  batch.Reset(2, 2);
  // ln 3 more: three times as probable. H = ln4 / 4 + 3 ln(4/3) / 4.
  EXPECT_EQ(batch.AddPass({0.0f, std::log(3.0f), 5.0f, 5.0f}), std::nullopt);
  batch.Finish();
  EXPECT_THAT(batch.probabilities,
              Pointwise(DoubleNear(kNear), {0.25, 0.75, 0.5, 0.5}));
  EXPECT_THAT(batch.entropy, Pointwise(DoubleNear(kNear), {0.5623351, kLn2}));
  EXPECT_THAT(batch.pass_entropy,
              Pointwise(DoubleNear(kNear), {0.5623351, kLn2}));
  EXPECT_THAT(batch.prediction, ElementsAre(1, 0));
}

TEST(MemberBatchTest, MeansOverPassesKeepTheEntropyOfEach) {
  MemberBatch batch;
  batch.Reset(1, 2);
  batch.AddPass({0.0f, std::log(3.0f)});
  batch.AddPass({std::log(3.0f), 0.0f});
  batch.Finish();
  EXPECT_THAT(batch.probabilities, Pointwise(DoubleNear(kNear), {0.5, 0.5}));
  EXPECT_NEAR(batch.entropy[0], kLn2, kNear);
  EXPECT_NEAR(batch.pass_entropy[0], 0.5623351, kNear);
}

TEST(MemberBatchTest, LargeLogitsDoNotOverflow) {
  const float most = std::numeric_limits<float>::max();
  MemberBatch batch;
  batch.Reset(3, 2);
  EXPECT_EQ(batch.AddPass({most, -most, -1e30f, -1e30f, 1000, 999}),
            std::nullopt);
  batch.Finish();
  const double e = std::exp(1.0);
  EXPECT_THAT(batch.probabilities,
              Pointwise(DoubleNear(kNear),
                        {1.0, 0.0, 0.5, 0.5, e / (1 + e), 1 / (1 + e)}));
  EXPECT_EQ(batch.entropy[0], 0);
  EXPECT_EQ(batch.pass_entropy[0], 0);
}

TEST(MemberBatchTest, TellsTheSampleWhoseLogitsAreNotFinite) {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    MemberBatch batch;
    batch.Reset(3, 2);
    EXPECT_EQ(batch.AddPass({0, 1, 2, 3, 4, wrong}), 2);
    batch.Reset(3, 2);
    EXPECT_EQ(batch.AddPass({0, 1, wrong, 3, 4, 5}), 1);
  }
}

TEST(FusionTest, MeanSplitsUncertaintyInTwo) {
  const FusedBatch fused =
      Fused(FusionRule::kMean, {1, 5}, {Member({0.9}), Member({0.5})});
  EXPECT_THAT(fused.probabilities, Pointwise(DoubleNear(kNear), {0.7, 0.3}));
  EXPECT_EQ(fused.prediction[0], 0);
  EXPECT_NEAR(fused.confidence[0], 0.7, kNear);
  // H[0.7, 0.3]; (H[0.9, 0.1] + ln 2) / 2; the difference.
  EXPECT_NEAR(fused.uncertainty[0].entropy, 0.6108643, kNear);
  EXPECT_NEAR(fused.uncertainty[0].aleatoric, 0.5091151, kNear);
  EXPECT_NEAR(fused.uncertainty[0].epistemic, 0.1017492, kNear);
  EXPECT_EQ(fused.uncertainty[0].disagreement, 0);
}

TEST(FusionTest, MembersThatAgreeLeaveNoEpistemicUncertainty) {
  const FusedBatch fused = Fused(FusionRule::kMean, {1, 1},
                                 {Member({0.3, 1e-9}), Member({0.3, 1e-9})});
  for (const Uncertainty& of : fused.uncertainty) {
    EXPECT_GE(of.epistemic, 0);
    EXPECT_NEAR(of.epistemic, 0, 1e-12);
    EXPECT_NEAR(of.entropy, of.aleatoric, 1e-12);
  }
}

TEST(FusionTest, VoteOverrulesTheMean) {
  const std::vector<MemberBatch> members = {Member({0.6}), Member({0.6}),
                                            Member({0.05})};
  const FusedBatch mean = Fused(FusionRule::kMean, {1, 1, 1}, members);
  EXPECT_EQ(mean.prediction[0], 1);
  EXPECT_NEAR(mean.uncertainty[0].disagreement, 2.0 / 3, kNear);
  const FusedBatch vote = Fused(FusionRule::kVote, {1, 1, 1}, members);
  EXPECT_EQ(vote.prediction[0], 0);
  EXPECT_NEAR(vote.uncertainty[0].disagreement, 1.0 / 3, kNear);
  EXPECT_NEAR(vote.confidence[0], 1.25 / 3, kNear);
  EXPECT_EQ(vote.probabilities, mean.probabilities);
}

TEST(FusionTest, EqualVotesGoToTheHigherMeanProbability) {
  const FusedBatch fused = Fused(FusionRule::kVote, {1, 1},
                                 {Member({0.9, 0.6}), Member({0.2, 0.1})});
  EXPECT_THAT(fused.prediction, ElementsAre(0, 1));
}

TEST(FusionTest, WeightsCountInEveryFigure) {
  const FusedBatch fused =
      Fused(FusionRule::kWeighted, {3, 1}, {Member({0.9}), Member({0.5})});
  EXPECT_THAT(fused.probabilities, Pointwise(DoubleNear(kNear), {0.8, 0.2}));
  EXPECT_NEAR(fused.uncertainty[0].aleatoric, 0.4170991, kNear);
  const FusedBatch without =
      Fused(FusionRule::kWeighted, {0, 2}, {Member({0.9}), Member({0.4})});
  EXPECT_THAT(without.probabilities, Pointwise(DoubleNear(kNear), {0.4, 0.6}));
  EXPECT_EQ(without.uncertainty[0].disagreement, 0.5);
}

TEST(FusionTest, UncertaintyWeighsByInverseEntropy) {
  // Of the first sample the second member is quite sure: H is 0 there, its
  // weight 1e6 against 1 / (ln 2 + 1e-6). Of the second both are equally sure.
  MemberBatch sure;
  sure.Reset(2, 2);
  sure.AddPass({1000.0f, 0.0f, std::log(4.0f), 0.0f});
  sure.Finish();
  const FusedBatch fused =
      Fused(FusionRule::kUncertainty, {1, 1}, {Member({0.5, 0.2}), sure});
  const double unsure = 1 / (kLn2 + kEntropyEpsilon);
  const double certain = 1 / kEntropyEpsilon;
  EXPECT_NEAR(fused.row(0)[1], 0.5 * unsure / (unsure + certain), 1e-12);
  EXPECT_NEAR(fused.row(1)[0], 0.5, kNear);
}

TEST(CalibrationTest, MatchesHandWorkedFigures) {
  Calibration figures;
  const std::vector<double> first = {0.78, 0.22};
  const std::vector<double> second = {0.45, 0.55};
  figures.Add(first, 0, 0);   // right
  figures.Add(first, 0, 1);   // wrong, in the same bin
  figures.Add(second, 1, 1);  // right
  EXPECT_EQ(figures.samples(), 3);
  EXPECT_NEAR(figures.accuracy(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(figures.nll(),
              -(std::log(0.78) + std::log(0.22) + std::log(0.55)) / 3, 1e-12);
  EXPECT_NEAR(figures.brier(), (0.0968 + 1.2168 + 0.405) / 3, 1e-12);
  // |1 - 1.56| and |1 - 0.55|.
  EXPECT_NEAR(figures.ece(), (0.56 + 0.45) / 3, 1e-12);
}

TEST(CalibrationTest, ExtremeConfidencesHaveABin) {
  Calibration figures;
  const std::vector<double> certain = {1, 0};
  figures.Add(certain, 0, 0);
  EXPECT_EQ(figures.ece(), 0);
  EXPECT_EQ(figures.nll(), 0);
  figures.Add(certain, 0, 1);  // as wrong as can be
  EXPECT_EQ(figures.ece(), 0.5);
  EXPECT_TRUE(std::isfinite(figures.nll()));
  figures.Add(certain, 1, 0);  // a vote for what has no probability
  EXPECT_NEAR(figures.ece(), 1.0 / 3, 1e-12);
}

}  // namespace
}  // namespace trainyard::runner
