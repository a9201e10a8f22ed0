#include "workers/runner/nearest.h"

#include "gtest/gtest.h"

namespace trainyard::runner {
namespace {

TEST(NearestName, FindsATypo) {
  const std::vector<std::string> names = {"mlp", "mnist_cnn", "resnet18"};
  EXPECT_EQ(NearestName("resnet81", names), "resnet18");
  EXPECT_EQ(NearestName("mnistcnn", names), "mnist_cnn");
  EXPECT_EQ(NearestName("mpl", names), "mlp");
}

TEST(NearestName, StaysSilentWhereNothingIsNear) {
  const std::vector<std::string> names = {"mnist_cnn", "resnet18"};
  EXPECT_EQ(NearestName("transformer", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName(std::string(10000, 'x'), names), "");
}

TEST(Suggestion, NamesTheNearestAndAll) {
  EXPECT_EQ(Suggestion("ada", {"sgd", "adam"}),
            "; did you mean \"adam\"? (known: sgd, adam)");
  EXPECT_EQ(Suggestion("lion-cub", {"sgd", "adam"}), " (known: sgd, adam)");
}

}  // namespace
}  // namespace trainyard::runner
