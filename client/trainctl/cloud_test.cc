#include <string>
#include <vector>

#include "client/trainctl/cloud_estimate.h"
#include "client/trainctl/cloud_prices.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

CloudPrices Prices() {
  auto prices = ParseCloudPrices(R"(
date: 2024-07-01
source: a test
reference_gpu: slow
gpus:
  slow: {memory_gib: 16, speed: 1}
  fast: {memory_gib: 32, speed: 4}
instances:
  - {cloud: aws, name: one-slow, region: r, cores: 4, memory_gib: 16, gpu: slow, gpus: 1, dollars: 1, spot: 0.5}
  - {cloud: gcp, name: one-fast, region: r, cores: 8, memory_gib: 60, gpu: fast, gpus: 1, dollars: 5, spot: 1}
  - {cloud: azure, name: four-fast, region: r, cores: 32, memory_gib: 240, gpu: fast, gpus: 4, dollars: 15, spot: 0}
)");
  EXPECT_TRUE(prices.ok()) << prices.status();
  return *std::move(prices);
}

// "one-slow 8h $8 chosen".
std::vector<CloudEstimate> Rows(const CloudWork& work) {
  auto rows = EstimateCloud(Prices(), work);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *std::move(rows);
}

std::string Chosen(const CloudWork& work) {
  std::string chosen = "none";
  for (const CloudEstimate& row : Rows(work)) {
    if (!row.chosen) continue;
    EXPECT_EQ(chosen, "none");
    chosen = row.instance.name;
  }
  return chosen;
}

TEST(CloudEstimate, ScalesHoursByTheSpeedOfTheGpu) {
  const auto rows = Rows({.hours = 8});
  EXPECT_DOUBLE_EQ(rows[0].hours, 8);
  EXPECT_DOUBLE_EQ(rows[0].dollars, 8);
  EXPECT_DOUBLE_EQ(rows[0].spot_dollars, 8 * 1.05 * 0.5);
  EXPECT_DOUBLE_EQ(rows[1].hours, 2);
  EXPECT_DOUBLE_EQ(rows[1].dollars, 10);
  // More GPUs than it asks for are of no use to one job.
  EXPECT_DOUBLE_EQ(rows[2].hours, 2);
  EXPECT_DOUBLE_EQ(rows[2].dollars, 30);
  EXPECT_DOUBLE_EQ(Rows({.hours = 2, .on = "fast"})[0].hours, 8);
}

TEST(CloudEstimate, RunsJobsSideBySide) {
  const auto rows = Rows({.hours = 4, .jobs = 6});
  EXPECT_DOUBLE_EQ(rows[0].hours, 24);
  EXPECT_DOUBLE_EQ(rows[1].hours, 6);
  EXPECT_DOUBLE_EQ(rows[2].hours, 2);  // 4 and then 2
  EXPECT_DOUBLE_EQ(Rows({.hours = 4, .jobs = 6, .gpus = 2})[2].hours, 3);
}

TEST(CloudEstimate, ChoosesTheCheapestThatFits) {
  EXPECT_EQ(Chosen({.hours = 8}), "one-slow");
  EXPECT_EQ(Chosen({.hours = 8, .spot = true}), "one-fast");
  EXPECT_EQ(Chosen({.hours = 8, .gpu_memory_gib = 24}), "one-fast");
  EXPECT_EQ(Chosen({.hours = 8, .memory_gib = 100}), "four-fast");
  EXPECT_EQ(Chosen({.hours = 8, .gpus = 2}), "four-fast");
  EXPECT_EQ(Chosen({.hours = 8, .max_hours = 3}), "one-fast");
  EXPECT_EQ(Chosen({.hours = 8, .cloud = "azure"}), "four-fast");
  EXPECT_EQ(Chosen({.hours = 8, .gpus = 8}), "none");
  EXPECT_EQ(Chosen({.hours = 8, .gpus = 2, .spot = true}), "none");
}

TEST(CloudEstimate, SaysWhyAnInstanceDoesNotFit) {
  EXPECT_EQ(Rows({.hours = 8, .gpus = 2})[0].unfit, "has 1 GPU, not 2");
  EXPECT_EQ(Rows({.hours = 8, .gpu_memory_gib = 24})[0].unfit,
            "GPU has 16 GiB, not 24");
  EXPECT_EQ(Rows({.hours = 8, .memory_gib = 100})[0].unfit,
            "has 16 GiB, not 100");
  EXPECT_EQ(Rows({.hours = 8, .max_hours = 3})[0].unfit, "takes 8 h, not 3");
  EXPECT_EQ(Rows({.hours = 8, .spot = true})[2].unfit, "not to be had as spot");
  const auto unknown = EstimateCloud(Prices(), {.hours = 1, .on = "T5"});
  EXPECT_EQ(std::string(unknown.status().message()),
            "--on T5: the price file knows fast, slow");
}

TEST(CloudPrices, TheBuiltInFileHasTheInstancesItPromises) {
  const auto prices = ParseCloudPrices(BuiltInCloudPrices());
  ASSERT_TRUE(prices.ok()) << prices.status();
  std::vector<std::string> names;
  for (const CloudInstance& instance : prices->instances) {
    names.push_back(instance.name);
    EXPECT_LT(instance.spot, instance.dollars) << instance.name;
  }
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {"g4dn.xlarge", "p3.2xlarge", "p3.8xlarge",
                          "n1-standard-4", "n1-standard-8", "n1-standard-32",
                          "NC6s_v3", "NC12s_v3", "NC24s_v3"}));
}

TEST(CloudPrices, WrongFilesAreRefusedByField) {
  const std::string head =
      "date: 2024-07-01\nsource: s\nreference_gpu: T4\n"
      "gpus: {T4: {memory_gib: 16, speed: 1}}\n";
  const std::string good =
      "cloud: aws, name: n, region: r, cores: 4, memory_gib: 16, gpu: T4, "
      "gpus: 1, dollars: 1";
  ASSERT_TRUE(
      ParseCloudPrices(head + "instances: [{" + good + ", spot: 0}]").ok());
  const struct {
    std::string yaml;
    const char* error;
  } kCases[] = {
      {"", "is empty"},
      {"[1]", "prices: must be a mapping"},
      {"date: soon\nsource: s", "date: must be a day"},
      {head, "instances: must be a list of 1 to"},
      {head + "instances: [{" + good + ", spot: -1}]",
       "instances[0].spot: must be a number from 0"},
      {head + "instances: [{" + good + ", spot: .inf}]",
       "instances[0].spot: must be a number from 0"},
      {head + "instances: [{" + good + ", spot: 0, cost: 1}]",
       "instances[0].cost: is not known"},
      {head + "instances: [{cloud: moon}]",
       "instances[0].cloud: must be aws, gcp or azure"},
      {head + "instances: [7]", "instances[0]: must be a mapping"},
      {head + "price: 1", "price: is not known"},
  };
  for (const auto& c : kCases) {
    const auto prices = ParseCloudPrices(c.yaml);
    ASSERT_FALSE(prices.ok()) << c.yaml;
    EXPECT_THAT(std::string(prices.status().message()), StartsWith(c.error));
  }
}

}  // namespace
}  // namespace trainyard::trainctl
