#include "workers/runner/ensemble/outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"
#include "workers/runner/data/test_files.h"
#include "workers/runner/ensemble/placement.h"

namespace trainyard::runner {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

FusedBatch TwoSamples() {
  return {.samples = 2,
          .classes = 2,
          .probabilities = {0.25, 0.75, 0.1, 0.9},
          .prediction = {1, 1},
          .confidence = {0.75, 0.9},
          .uncertainty = {{0.5, 0.25, 0.125, 0}, {1, 2, 3, 4}}};
}

std::string Content(const data::TempFolder& folder, const std::string& name) {
  return data::ReadWholeFile(folder.path() + "/" + name, 1 << 20).value();
}

TEST(PredictionFilesTest, WritesEveryFormatBatchByBatch) {
  const data::TempFolder folder;
  auto files = PredictionFiles::Create(
      folder.path(),
      {OutputFormat::kJsonl, OutputFormat::kCsv, OutputFormat::kNpy},
      {.samples = 4, .classes = 2, .class_names = {"cat", "a \"dog\", big"}});
  ASSERT_TRUE(files.ok()) << files.status();
  const FusedBatch fused = TwoSamples();
  const std::vector<int64_t> labels = {1, kNoLabel};
  const std::vector<std::string> names = {"val/a,b.png", ""};
  for (const uint64_t first : {0, 2}) {
    ASSERT_TRUE(files->Append({first, fused, labels, names}).ok());
  }
  EXPECT_FALSE(
      data::ReadWholeFile(folder.path() + "/" + kJsonlFile, 1 << 20).ok())
      << "it has its name before it is whole";
  const auto written = files->Finish();
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_THAT(*written, ElementsAre(kJsonlFile, kCsvFile, kProbabilitiesFile,
                                    kUncertaintyFile));

  EXPECT_THAT(
      Content(folder, kJsonlFile),
      StartsWith("{\"index\":0,\"sample\":\"val/a,b.png\",\"label\":1,"
                 "\"prediction\":1,\"class\":\"a \\\"dog\\\", big\","
                 "\"confidence\":0.75,\"probabilities\":[0.25,0.75],"
                 "\"entropy\":0.5,\"aleatoric\":0.25,\"epistemic\":0.125,"
                 "\"disagreement\":0}\n{\"index\":1,\"prediction\":1,"));
  EXPECT_THAT(
      Content(folder, kCsvFile),
      StartsWith("index,sample,label,prediction,class,confidence,entropy,"
                 "aleatoric,epistemic,disagreement,probability_0,probability_1"
                 "\r\n"
                 "0,\"val/a,b.png\",1,1,\"a \"\"dog\"\", big\",0.75,0.5,0.25,"
                 "0.125,0,0.25,0.75\r\n"
                 "1,1,,1,\"a \"\"dog\"\", big\",0.9,1,2,3,4,0.1,0.9\r\n"
                 "2,"));
  const std::string npy = Content(folder, kUncertaintyFile);
  const std::string header = NpyHeader(4, 4);
  ASSERT_EQ(npy.size(), header.size() + 4 * 4 * sizeof(float));
  EXPECT_THAT(npy, StartsWith(header));
  float row[4] = {};
  std::memcpy(row, npy.data() + header.size() + 3 * sizeof(row), sizeof(row));
  EXPECT_THAT(row, ElementsAre(1, 2, 3, 4));
}

TEST(PredictionFilesTest, CsvHasNoColumnsForMoreThanAThousandClasses) {
  for (const int64_t classes : {kMaxCsvClasses, kMaxCsvClasses + 1}) {
    const data::TempFolder folder;
    auto files = PredictionFiles::Create(folder.path(), {OutputFormat::kCsv},
                                         {.samples = 0, .classes = classes});
    ASSERT_TRUE(files.ok()) << files.status();
    ASSERT_TRUE(files->Finish().ok());
    EXPECT_EQ(Content(folder, kCsvFile).find("probability_999\r\n") !=
                  std::string::npos,
              classes == kMaxCsvClasses);
    EXPECT_EQ(
        Content(folder, kCsvFile).find("probability") == std::string::npos,
        classes > kMaxCsvClasses);
  }
}

TEST(PredictionFilesTest, LeavesNothingWhereItIsGivenUp) {
  const data::TempFolder folder;
  {
    auto files = PredictionFiles::Create(
        folder.path(), {OutputFormat::kNpy},
        {.samples = 2, .classes = 2, .class_names = {}});
    ASSERT_TRUE(files.ok());
    EXPECT_EQ(data::ListFolder(folder.path())->size(), 2);
  }
  EXPECT_TRUE(data::ListFolder(folder.path())->empty());
}

TEST(NpyHeaderTest, IsNumPysOwn) {
  const std::string header = NpyHeader(60000, 10);
  EXPECT_EQ(header.size() % 64, 0);
  EXPECT_THAT(header, StartsWith(std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                                 "{'descr': '<f4', 'fortran_order': False, "
                                 "'shape': (60000, 10), }"));
  EXPECT_EQ(header.back(), '\n');
}

TEST(PlacementTest, LargestMembersAreSpreadFirst) {
  EXPECT_THAT(PlaceMembers({90, 45, 45}, 2), ElementsAre(0, 1, 1));
  EXPECT_THAT(PlaceMembers({1, 10, 1, 10}, 2), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(PlaceMembers({7, 7, 7, 7}, 3), ElementsAre(0, 1, 2, 0));
  EXPECT_THAT(PlaceMembers({0, 0}, 2), ElementsAre(0, 1));
}

TEST(PlacementTest, SharesAllThreadsAmongMembersAtOnce) {
  EXPECT_THAT(ShareThreads(8, 3), ElementsAre(3, 3, 2));
  EXPECT_THAT(ShareThreads(2, 5), ElementsAre(1, 1));
  EXPECT_THAT(ShareThreads(4, 1), ElementsAre(4));
  EXPECT_THAT(ShareThreads(0, 0), ElementsAre(1));
}

}  // namespace
}  // namespace trainyard::runner
