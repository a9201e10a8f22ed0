#include "server/adapters/file_blobs.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/adapters/sha256.h"
#include "server/adapters/temp_folder.h"

namespace trainyard::adapters {
namespace {

using absl::StatusCode;

std::string NameOf(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return absl::StrCat("sha256:", hash.HexDigest());
}

class FileBlobsTest : public testing::Test {
 protected:
  void SetUp() override { Open({}); }

  void Open(FileBlobsOptions options) {
    blobs_.reset();
    auto blobs = FileBlobs::Open(folder_.path() + "/blobs", options, &clock_);
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs_ = *std::move(blobs);
  }

  absl::StatusOr<engine::BlobInfo> Put(const std::string& name,
                                       const std::string& bytes,
                                       const std::string& display_name = "") {
    auto writer = blobs_->Resume(name, bytes.size(), display_name);
    if (!writer.ok()) return writer.status();
    const uint64_t offset = (*writer)->offset();
    if (absl::Status status = (*writer)->Append(offset, bytes.substr(offset));
        !status.ok()) {
      return status;
    }
    return (*writer)->Finish();
  }

  absl::StatusOr<std::string> Get(const std::string& name,
                                  uint64_t offset = 0) {
    auto reader = blobs_->Open(name, offset);
    if (!reader.ok()) return reader.status();
    std::string all;
    while (true) {
      auto bytes = (*reader)->Read(1000);
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) return all;
      all += *bytes;
    }
  }

  std::string PathOf(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/blobs/", name.substr(7, 2), "/",
                        name.substr(7));
  }

  TempFolder folder_;
  ManualClock clock_{absl::Now()};
  std::unique_ptr<FileBlobs> blobs_;
};

TEST_F(FileBlobsTest, GivesBackWhatWasPutAlsoAfterARestart) {
  const std::string bytes(5000, 'b');
  const auto info = Put(NameOf(bytes), bytes, "model.safetensors");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->size_bytes, 5000u);
  Open({});
  EXPECT_EQ(*Get(NameOf(bytes)), bytes);
  EXPECT_EQ(Get(NameOf(bytes), 4990)->size(), 10u);
  const auto stat = blobs_->Stat(NameOf(bytes));
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->blob->display_name, "model.safetensors");
  EXPECT_EQ(stat->received_bytes, 5000u);
}

TEST_F(FileBlobsTest, TakesAnEmptyBlob) {
  ASSERT_TRUE(Put(NameOf(""), "").ok());
  EXPECT_EQ(*Get(NameOf("")), "");
}

TEST_F(FileBlobsTest, GoesOnWhereAnUploadBrokeOff) {
  const std::string bytes = "the first half, the second half";
  {
    auto writer = blobs_->Resume(NameOf(bytes), bytes.size(), "");
    ASSERT_TRUE((*writer)->Append(0, bytes.substr(0, 15)).ok());
    EXPECT_EQ((*writer)->Finish().status().code(), StatusCode::kOutOfRange);
  }
  Open({});
  EXPECT_EQ(blobs_->Stat(NameOf(bytes))->received_bytes, 15u);
  EXPECT_FALSE(blobs_->Stat(NameOf(bytes))->blob.has_value());
  auto writer = blobs_->Resume(NameOf(bytes), bytes.size(), "");
  EXPECT_EQ((*writer)->offset(), 15u);
  EXPECT_EQ((*writer)->Append(0, bytes).code(), StatusCode::kOutOfRange);
  ASSERT_TRUE((*writer)->Append(15, bytes.substr(15)).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  EXPECT_EQ(*Get(NameOf(bytes)), bytes);
}

TEST_F(FileBlobsTest, DropsBytesThatHaveAnotherHash) {
  const std::string name = NameOf("right");
  const auto info = Put(name, "wrong");
  EXPECT_EQ(info.status().code(), StatusCode::kDataLoss) << info.status();
  EXPECT_EQ(blobs_->Stat(name)->received_bytes, 0u);
  EXPECT_EQ(Get(name).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Put(name, "right").ok());
}

TEST_F(FileBlobsTest, RefusesBytesBeyondTheSize) {
  auto writer = blobs_->Resume(NameOf("abc"), 3, "");
  EXPECT_EQ((*writer)->Append(0, "abcd").code(), StatusCode::kOutOfRange);
}

TEST_F(FileBlobsTest, UploadingWhatIsThereIsCompleteAtOnce) {
  ASSERT_TRUE(Put(NameOf("abc"), "abc", "first").ok());
  auto writer = blobs_->Resume(NameOf("abc"), 3, "second");
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE((*writer)->complete());
  EXPECT_EQ((*writer)->Finish()->display_name, "first");
}

TEST_F(FileBlobsTest, ANewerWriterTakesOver) {
  auto older = blobs_->Resume(NameOf("abcdef"), 6, "");
  ASSERT_TRUE((*older)->Append(0, "abc").ok());
  auto newer = blobs_->Resume(NameOf("abcdef"), 6, "");
  EXPECT_EQ((*newer)->offset(), 3u);
  EXPECT_EQ((*older)->Append(3, "def").code(), StatusCode::kAborted);
  ASSERT_TRUE((*newer)->Append(3, "def").ok());
  EXPECT_TRUE((*newer)->Finish().ok());
}

TEST_F(FileBlobsTest, RefusesMoreThanItsLimitHolds) {
  Open({.limit_bytes = 10});
  ASSERT_TRUE(Put(NameOf("12345"), "12345").ok());
  {
    auto running = blobs_->Resume(NameOf("abcd"), 4, "");
    ASSERT_TRUE(running.ok());
    EXPECT_EQ(Put(NameOf("xy"), "xy").status().code(),
              StatusCode::kResourceExhausted);
  }
  EXPECT_TRUE(Put(NameOf("xy"), "xy").ok());
  EXPECT_EQ(blobs_->Resume(NameOf("z"), ~uint64_t{0}, "").status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(FileBlobsTest, ABlobDamagedOnDiskIsDataLossAndCanBePutAgain) {
  const std::string bytes(3000, 'c');
  ASSERT_TRUE(Put(NameOf(bytes), bytes).ok());
  std::ofstream(PathOf(NameOf(bytes)), std::ios::in | std::ios::out) << "X";
  EXPECT_EQ(Get(NameOf(bytes)).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Get(NameOf(bytes)).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(Put(NameOf(bytes), bytes).ok());
  EXPECT_EQ(*Get(NameOf(bytes)), bytes);
}

TEST_F(FileBlobsTest, ListsABlobThatWasMovedToItsPlaceJustBeforeACrash) {
  std::filesystem::create_directories(
      std::filesystem::path(PathOf(NameOf("late"))).parent_path());
  std::ofstream(PathOf(NameOf("late"))) << "late";
  EXPECT_EQ(blobs_->Stat(NameOf("late"))->blob->size_bytes, 4u);
  EXPECT_EQ(blobs_->List(10, "")->blobs.size(), 1u);
}

TEST_F(FileBlobsTest, ListsNewestFirstInPages) {
  for (const char* bytes : {"a", "b", "c"}) {
    ASSERT_TRUE(Put(NameOf(bytes), bytes).ok());
    clock_.Advance(absl::Seconds(1));
  }
  const auto first = blobs_->List(2, "");
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->blobs.size(), 2u);
  EXPECT_EQ(first->blobs[0].name, NameOf("c"));
  const auto second = blobs_->List(2, first->next_page_token);
  ASSERT_EQ(second->blobs.size(), 1u);
  EXPECT_EQ(second->blobs[0].name, NameOf("a"));
  EXPECT_EQ(second->next_page_token, "");
  EXPECT_EQ(blobs_->List(2, "x").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(FileBlobsTest, DropsUploadsThatNobodyContinues) {
  { ASSERT_TRUE((*blobs_->Resume(NameOf("abc"), 3, ""))->Append(0, "a").ok()); }
  clock_.Advance(absl::Hours(24 * 6));
  Open({});
  EXPECT_EQ(blobs_->Stat(NameOf("abc"))->received_bytes, 1u);
  clock_.Advance(absl::Hours(24 * 2));
  Open({});
  EXPECT_EQ(blobs_->Stat(NameOf("abc"))->received_bytes, 0u);
}

TEST_F(FileBlobsTest, RefusesMalformedNames) {
  const std::string hex(64, 'a');
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), "sha256:" + std::string(63, 'a'),
        "sha256:" + std::string(64, 'A'), "sha1:" + hex, hex,
        "sha256:" + hex + "/",
        "sha256:../../../../../../etc/passwd" + std::string(37, 'a')}) {
    EXPECT_EQ(blobs_->Stat(bad).status().code(), StatusCode::kInvalidArgument)
        << bad;
    EXPECT_EQ(blobs_->Resume(bad, 1, "").status().code(),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(blobs_->Open(bad, 0).status().code(),
              StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace trainyard::adapters
