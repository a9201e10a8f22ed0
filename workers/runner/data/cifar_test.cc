#include "workers/runner/data/cifar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTenNames[] =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

TEST(CifarTest, ReadsCifar10InOrderOfItsFiles) {
  TempFolder folder;
  folder.Write("data_batch_10.bin", CifarRecords({9}, 1));
  folder.Write("data_batch_1.bin", CifarRecords({3, 4}, 1));
  folder.Write("data_batch_2.bin", CifarRecords({5}, 1));
  folder.Write("test_batch.bin", CifarRecords({1, 2, 3}, 1));
  folder.Write("batches.meta.txt", kTenNames);
  const absl::StatusOr<RawParts> parts =
      OpenCifar(folder.path(), CifarKind::k10);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->sample_shape(), (SampleShape{3, 32, 32}));
  EXPECT_THAT(parts->train->labels(), ElementsAre(3, 4, 5, 9));
  EXPECT_EQ(parts->train->class_names()[9], "truck");
  EXPECT_EQ(parts->test->num_samples(), 3u);
  std::vector<uint8_t> pixels(3072);
  int64_t label = 0;
  ASSERT_TRUE(parts->train->Read({1}, pixels.data(), &label).ok());
  EXPECT_EQ(label, 4);
  EXPECT_EQ(pixels[0], 1);
  EXPECT_EQ(pixels[1024], 2);
  EXPECT_EQ(pixels[3071], 3);
}

TEST(CifarTest, ReadsCifar100sFineLabels) {
  TempFolder folder;
  folder.Write("train.bin", CifarRecords({99, 0}, 2));
  const absl::StatusOr<RawParts> parts =
      OpenCifar(folder.path(), CifarKind::k100);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->labels(), ElementsAre(99, 0));
  EXPECT_EQ(parts->train->num_classes(), 100);
  EXPECT_EQ(parts->train->class_names()[42], "42");
  EXPECT_EQ(parts->test, nullptr);
}

TEST(CifarTest, RefusesWhatIsWrong) {
  const std::string record = CifarRecords({1}, 1);
  const struct {
    const char* file;
    std::string bytes;
    CifarKind kind;
    const char* message;
  } rows[] = {
      {"readme", "", CifarKind::k10, "data_batch_*.bin must be in it"},
      {"readme", "", CifarKind::k100, "train.bin must be in it"},
      {"data_batch_1.bin", "", CifarKind::k10, "found 0 bytes"},
      {"data_batch_1.bin", record.substr(1), CifarKind::k10,
       "records of 3073 bytes"},
      {"data_batch_1.bin", record + "x", CifarKind::k10,
       "1 records and 1 bytes"},
      {"data_batch_1.bin", record + CifarRecords({10}, 1), CifarKind::k10,
       "label 10 of sample 1 is out of range; it must be 0 to 9"},
      {"train.bin", CifarRecords({100}, 2), CifarKind::k100, "must be 0 to 99"},
      {"train.bin", record, CifarKind::k100, "records of 3074 bytes"},
  };
  for (const auto& row : rows) {
    TempFolder folder;
    folder.Write(row.file, row.bytes);
    EXPECT_THAT(
        std::string(OpenCifar(folder.path(), row.kind).status().message()),
        HasSubstr(row.message));
  }
}

TEST(CifarTest, RefusesAWrongNumberOfNames) {
  TempFolder folder;
  folder.Write("data_batch_1.bin", CifarRecords({1}, 1));
  folder.Write("batches.meta.txt", "cat\ndog\n");
  EXPECT_THAT(
      std::string(OpenCifar(folder.path(), CifarKind::k10).status().message()),
      HasSubstr("has 2 class names; it must have 10"));
}

}  // namespace
}  // namespace trainyard::data
