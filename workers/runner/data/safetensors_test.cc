#include "workers/runner/data/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "workers/runner/data/file.h"
#include "workers/runner/data/prng.h"
#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string FileOf(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i) &
                               0xFF);
  }
  return bytes + header + data;
}

absl::StatusOr<SafetensorsContent> Parse(const std::string& bytes) {
  return ParseSafetensors(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
}

template <typename T>
TensorView ViewOf(DType dtype, std::vector<int64_t> shape,
                  const std::vector<T>& values) {
  return {dtype, std::move(shape),
          reinterpret_cast<const std::byte*>(values.data()),
          values.size() * sizeof(T)};
}

TEST(SafetensorsTest, ReadsBackWhatItWrote) {
  const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> mask = {1, 0, 1};
  const std::vector<int64_t> steps = {42};
  const std::vector<double> none;
  TempFolder folder;
  const std::string path = folder.path() + "/model.safetensors";
  ASSERT_TRUE(
      WriteSafetensors(path,
                       {{"mask", ViewOf(DType::kBool, {3}, mask)},
                        {"fc.weight", ViewOf(DType::kF32, {2, 3}, weight)},
                        {"empty", ViewOf(DType::kF64, {0, 7}, none)},
                        {"steps", ViewOf(DType::kI64, {}, steps)}},
                       {{"architecture", "mlp"}, {"epoch", "3"}})
          .ok());

  absl::StatusOr<SafetensorsFile> opened = SafetensorsFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile file = *std::move(opened);
  EXPECT_EQ(file.tensors().size(), 4u);
  EXPECT_THAT(file.metadata(),
              ElementsAre(Pair("architecture", "mlp"), Pair("epoch", "3")));
  absl::StatusOr<TensorView> view = file.Find("fc.weight");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->dtype, DType::kF32);
  EXPECT_THAT(view->shape, ElementsAre(2, 3));
  ASSERT_EQ(view->size, 24u);
  EXPECT_EQ(std::memcmp(view->data, weight.data(), 24), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 4, 0u);
  EXPECT_TRUE(file.Find("steps")->shape.empty());
  EXPECT_EQ(file.Find("empty")->size, 0u);
  EXPECT_THAT(std::string(file.Find("fc.bias").status().message()),
              HasSubstr("\"fc.bias\""));
}

TEST(SafetensorsTest, WritesTheDocumentedLayout) {
  const std::vector<uint8_t> byte = {7};
  const std::vector<int16_t> pair = {1, 2};
  TempFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  ASSERT_TRUE(WriteSafetensors(path,
                               {{"a", ViewOf(DType::kU8, {1}, byte)},
                                {"b", ViewOf(DType::kI16, {2}, pair)}},
                               {})
                  .ok());
  const std::string bytes = *ReadWholeFile(path, 1000);
  const size_t header_size = static_cast<uint8_t>(bytes[0]);
  EXPECT_EQ(header_size % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + header_size + 5);
  EXPECT_THAT(
      bytes,
      HasSubstr(R"("b":{"data_offsets":[0,4],"dtype":"I16","shape":[2]})"));
  EXPECT_THAT(
      bytes,
      HasSubstr(R"("a":{"data_offsets":[4,5],"dtype":"U8","shape":[1]})"));
  EXPECT_EQ(bytes.substr(8 + header_size),
            std::string("\x01\x00\x02\x00\x07", 5));
}

TEST(SafetensorsTest, ReplacesAFileAtOnceAndLeavesNoTemporary) {
  TempFolder folder;
  const std::string path = folder.Write("x.safetensors", "old");
  const std::vector<uint8_t> byte = {7};
  ASSERT_TRUE(
      WriteSafetensors(path, {{"a", ViewOf(DType::kU8, {1}, byte)}}, {}).ok());
  EXPECT_TRUE(SafetensorsFile::Open(path).ok());
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(SafetensorsTest, RefusesToWriteWhatNobodyCouldRead) {
  TempFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  const std::vector<uint8_t> byte = {7};
  const TensorView good = ViewOf(DType::kU8, {1}, byte);
  EXPECT_THAT(std::string(WriteSafetensors(
                              path, {{"w", ViewOf(DType::kF32, {1}, byte)}}, {})
                              .message()),
              HasSubstr("tensor \"w\": 1 bytes do not hold F32 of shape [1]"));
  EXPECT_FALSE(WriteSafetensors(path, {{"__metadata__", good}}, {}).ok());
  EXPECT_FALSE(WriteSafetensors(path, {{"\xFF", good}}, {}).ok());
  EXPECT_FALSE(WriteSafetensors(path, {{"w", good}}, {{"k", "\xC0"}}).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
}

struct BadFile {
  const char* name;
  std::string bytes;
  const char* message;
};

class HostileSafetensors : public ::testing::TestWithParam<BadFile> {};

TEST_P(HostileSafetensors, IsRefusedWithItsReason) {
  const absl::StatusOr<SafetensorsContent> content = Parse(GetParam().bytes);
  ASSERT_FALSE(content.ok());
  EXPECT_THAT(std::string(content.status().message()),
              HasSubstr(GetParam().message));
}

std::string OneTensor(const std::string& body, const std::string& data) {
  return FileOf("{\"w\":{" + body + "}}", data);
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileSafetensors,
    ::testing::Values(
        BadFile{"Empty", "", "has 0 bytes"},
        BadFile{"Short", "1234567", "truncated"},
        BadFile{"HugeHeader", std::string(8, '\xFF') + "{}",
                "at most 100000000"},
        BadFile{"HeaderBeyondTheEnd", FileOf("{}", "").substr(0, 9),
                "is truncated"},
        BadFile{"NotJson", FileOf("hello", ""), "not JSON"},
        BadFile{"EmptyHeader", FileOf("", ""), "not JSON"},
        BadFile{"List", FileOf("[]", ""), "must be a JSON object"},
        BadFile{"TextAfterJson", FileOf("{} x", ""), "not JSON"},
        BadFile{"DeepNesting", FileOf(std::string(1000000, '['), ""),
                "must be a JSON object"},
        BadFile{"TensorIsNumber", FileOf("{\"w\":1}", ""),
                "tensor \"w\": found the number 1"},
        BadFile{"MetadataNotText", FileOf("{\"__metadata__\":{\"a\":1}}", ""),
                "must be text"},
        BadFile{"MetadataList", FileOf("{\"__metadata__\":[]}", ""),
                "found an array"},
        BadFile{"MetadataTwice",
                FileOf("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", ""),
                "twice"},
        BadFile{"NoDtype",
                OneTensor(R"("shape":[1],"data_offsets":[0,4])", "1234"),
                "dtype is missing"},
        BadFile{"NoShape",
                OneTensor(R"("dtype":"F32","data_offsets":[0,4])", "1234"),
                "shape is missing"},
        BadFile{"NoOffsets", OneTensor(R"("dtype":"F32","shape":[1])", "1234"),
                "data_offsets is missing"},
        BadFile{"OneOffset",
                OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])",
                          "1234"),
                "two numbers"},
        BadFile{"ThreeOffsets",
                OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])",
                          "1234"),
                "more than two"},
        BadFile{
            "UnknownDtype",
            OneTensor(R"("dtype":"F8","shape":[1],"data_offsets":[0,1])", "1"),
            "tensor \"w\": dtype is \"F8\""},
        BadFile{"UnknownMember", OneTensor(R"("dtpe":"F32")", ""),
                "unknown member \"dtpe\""},
        BadFile{"DtypeTwice", OneTensor(R"("dtype":"F32","dtype":"F32")", ""),
                "is there twice"},
        BadFile{"TensorTwice",
                FileOf("{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
                       "offsets\":[0,1]},\"w\":{}}",
                       "1"),
                "tensor \"w\": is there twice"},
        BadFile{"NegativeExtent",
                OneTensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])",
                          "1234"),
                "negative number -1"},
        BadFile{"FractionalExtent",
                OneTensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])",
                          "1234"),
                "found the number 1.5"},
        BadFile{
            "Overflow",
            OneTensor(
                R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])",
                ""),
            "is too large"},
        BadFile{
            "OverflowWithZero",
            OneTensor(
                R"("dtype":"F32","shape":[0,9223372036854775807,3],"data_offsets":[0,0])",
                ""),
            "is too large"},
        BadFile{
            "ExtentBeyond63Bits",
            OneTensor(
                R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,0])",
                ""),
            "is too large"},
        BadFile{"WrongSize",
                OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])",
                          "1234"),
                "needs 8 bytes"},
        BadFile{"Backwards",
                OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])",
                          "1234"),
                "end before they begin"},
        BadFile{"BeyondTheData",
                OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])",
                          "123"),
                "truncated"},
        BadFile{
            "FarBeyond",
            OneTensor(
                R"("dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807])",
                "1"),
            "truncated"},
        BadFile{
            "Gap",
            OneTensor(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])", "12"),
            "gap"},
        BadFile{
            "DataLeftOver",
            OneTensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])", "12"),
            "the tensors end at byte 1"},
        BadFile{
            "Overlap",
            FileOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                   "123"),
            "tensor \"b\" begins at byte 1 of the data; it overlaps"}),
    [](const auto& info) { return std::string(info.param.name); });

std::string GoodFile() {
  return FileOf(
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
      R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[2,6]}})",
      "123456");
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  const std::string good = GoodFile();
  ASSERT_TRUE(Parse(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Parse(good.substr(0, size)).ok()) << size;
  }
}

TEST(SafetensorsTest, SurvivesFlippedBits) {
  const std::string good = GoodFile();
  Prng prng(1);
  uint64_t sum = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string bad = good;
    for (uint64_t flips = 1 + prng.Below(4); flips > 0; --flips) {
      bad[prng.Below(bad.size())] ^= static_cast<char>(1 << prng.Below(8));
    }
    const absl::StatusOr<SafetensorsContent> content = Parse(bad);
    if (!content.ok()) continue;
    for (const auto& [name, view] : content->tensors) {
      for (size_t i = 0; i < view.size; ++i)
        sum += static_cast<uint64_t>(view.data[i]);
    }
  }
  EXPECT_GT(sum, 0u);  // some flips only change data
}

TEST(SafetensorsTest, NamesTheFile) {
  TempFolder folder;
  const std::string path = folder.Write("bad.safetensors", "");
  EXPECT_THAT(std::string(SafetensorsFile::Open(path).status().message()),
              HasSubstr(path));
  EXPECT_EQ(SafetensorsFile::Open(folder.path() + "/none").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open(folder.path()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trainyard::data
