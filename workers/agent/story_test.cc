#include "workers/agent/story.h"

#include <string>

#include "gtest/gtest.h"

namespace trainyard::agent {
namespace {

v1::MetricPoint EpochEnd(uint32_t epoch, uint64_t step) {
  v1::MetricPoint point;
  point.set_epoch(epoch);
  point.set_step(step);
  point.set_validation_loss(0.25);
  point.set_validation_accuracy(0.9375);
  return point;
}

TEST(StoryTest, TellsAGoodRun) {
  Story story("cpu (Fast), 2 threads");
  EXPECT_EQ(story.On(StartedEvent{0, 1876, 93322}),
            "started on cpu (Fast), 2 threads: 93,322 parameters, 1,876 steps");
  v1::MetricPoint point;
  point.set_step(500);
  point.set_loss(0.5);
  EXPECT_FALSE(story.On(point).has_value());
  v1::MetricPoint end = EpochEnd(1, 938);
  end.set_samples_per_second(12345.6);
  EXPECT_EQ(story.On(end),
            "epoch 1 ended at step 938: loss 0.5, validation loss 0.25, "
            "accuracy 93.75 %, 12,346 samples/s");
  EXPECT_EQ(story.On(CheckpointEvent{938, "/c"}),
            "checkpoint written at step 938");
  EXPECT_EQ(story.On(EpochEnd(2, 1876)),
            "epoch 2 ended at step 1,876: loss 0.5, validation loss 0.25, "
            "accuracy 93.75 %");
  TerminalEvent finished{.kind = TerminalEvent::Kind::kFinished,
                         .outputs = {"model.json", "report.json"}};
  EXPECT_EQ(story.On(finished),
            "finished at step 1,876: model.json, report.json");
  EXPECT_FALSE(story.On(finished).has_value()) << "it ends once";
}

TEST(StoryTest, TellsWhereItWentOnAndWhyItEnded) {
  Story story("cuda:GPU-1");
  EXPECT_EQ(story.On(StartedEvent{.step = 1000}),
            "started on cuda:GPU-1, resumed after step 1,000");
  EXPECT_EQ(story.On(TerminalEvent{.kind = TerminalEvent::Kind::kFailed,
                                   .category = FailureCategory::kOutOfMemory,
                                   .message = "no room"}),
            "failed at step 1,000 by out of memory: no room");
  Story stopped("mps");
  stopped.On(StartedEvent{.step = 7});
  EXPECT_EQ(stopped.On(TerminalEvent{.kind = TerminalEvent::Kind::kStopped}),
            "stopped at step 7 as asked");
}

TEST(StoryTest, AnEnsembleHasNoEpochs) {
  Story story("cpu");
  v1::MetricPoint last;
  last.set_step(40);
  last.set_validation_accuracy(0.5);
  EXPECT_EQ(story.On(last), "step 40: accuracy 50.00 %");
}

TEST(StoryTest, AMillionEpochsStayReadable) {
  Story story("cpu");
  int lines = 0;
  for (uint32_t epoch = 1; epoch <= 1'000'000; ++epoch) {
    lines += story.On(EpochEnd(epoch, epoch)).has_value() ? 1 : 0;
  }
  EXPECT_GT(lines, 200);
  EXPECT_LT(lines, 1000);
  EXPECT_TRUE(IsTold(200));
  EXPECT_FALSE(IsTold(201));
  EXPECT_TRUE(IsTold(210));
  EXPECT_TRUE(IsTold(2000));
  EXPECT_FALSE(IsTold(2010));
}

TEST(StoryTest, HostileTextIsBounded) {
  Story story("cpu");
  TerminalEvent finished{.kind = TerminalEvent::Kind::kFinished};
  for (int i = 0; i < 1000; ++i) {
    finished.outputs.push_back(std::string(4000, 'x'));
  }
  EXPECT_LT(story.On(finished)->size(), 4096u);
}

}  // namespace
}  // namespace trainyard::agent
