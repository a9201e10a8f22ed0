#include "server/adapters/stored.h"

#include "gtest/gtest.h"

namespace trainyard::adapters {
namespace {

TEST(Stored, SchedulingComesBackAsItWas) {
  core::SchedulingSpec spec;
  spec.queue = core::QueueName("team");
  spec.user = core::UserName("ada");
  spec.priority = -7;
  spec.devices = {{core::DeviceKind::kCuda, 2, 8ull << 30},
                  {core::DeviceKind::kCpu, 1, 0}};
  spec.worker_labels = {{"zone", "attic"}};
  spec.max_retries = 9;
  spec.backoff = absl::Milliseconds(1500);
  spec.run_time_limit = absl::Hours(3);
  const auto decoded = DecodeScheduling(EncodeScheduling(spec));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, spec);
  EXPECT_EQ(decoded->queue_time_limit, absl::InfiniteDuration());
  spec.queue = core::QueueName(core::kDefaultQueue);
  EXPECT_EQ(DecodeScheduling(EncodeScheduling(spec))->queue, spec.queue);
}

TEST(Stored, FailureKeepsBytesThatAreNoUtf8) {
  const core::Failure failure{core::FailureCategory::kCrash, "ended",
                              "\xff\xfe\x01", -11};
  const auto decoded = DecodeFailure(EncodeFailure(failure));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, failure);
}

TEST(Stored, OutputsAndCheckpointsComeBackAsTheyWere) {
  const std::vector<core::Output> outputs = {
      {"model.safetensors", "sha256:ab", 5}, {"a", "b", 0}};
  EXPECT_EQ(*DecodeOutputs(EncodeOutputs(outputs)), outputs);
  const core::Checkpoint checkpoint{1234567890123, "sha256:cd", 99};
  EXPECT_EQ(*DecodeCheckpoint(EncodeCheckpoint(checkpoint)), checkpoint);
}

TEST(Stored, OtherBytesAreDataLoss) {
  EXPECT_EQ(DecodeScheduling("\xff\xff\xff").status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace trainyard::adapters
