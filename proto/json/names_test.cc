#include "proto/json/names.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard {
namespace {

using ::testing::ElementsAre;

TEST(EnumNames, DropThePrefixAndTheUnspecifiedValue) {
  EXPECT_THAT(ShortEnumNames(*v1::DataSpec::Format_descriptor()),
              ElementsAre("idx", "cifar10", "cifar100", "image_folder"));
  EXPECT_THAT(ShortEnumNames(*v1::DeviceKind_descriptor()),
              ElementsAre("cpu", "cuda", "mps"));
}

TEST(EnumNames, FindIgnoresTheUnspecifiedValue) {
  EXPECT_EQ(FindEnumValue(*v1::DeviceKind_descriptor(), "mps")->number(), 3);
  EXPECT_EQ(FindEnumValue(*v1::DeviceKind_descriptor(), "unspecified"),
            nullptr);
}

TEST(NearestName, FindsTypingMistakes) {
  const std::vector<std::string> names = {"learning_rate", "momentum", "kind"};
  EXPECT_EQ(NearestName("lerning_rate", names), "learning_rate");
  EXPECT_EQ(NearestName("Learning_Rate", names), "learning_rate");
  EXPECT_EQ(NearestName("knid", names), "kind");
  EXPECT_EQ(NearestName("batch", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName(std::string(100000, 'x'), names), "");
}

}  // namespace
}  // namespace trainyard
