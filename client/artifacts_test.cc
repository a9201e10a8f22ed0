#include "client/artifacts.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "client/fake_server.h"
#include "client/folder_manifest.h"
#include "client/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::client {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ArtifactsTest : public ::testing::Test {
 protected:
  ArtifactsTest() : client_(Options()) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~ArtifactsTest() override { fs::remove_all(dir_); }

  ClientOptions Options() {
    ClientOptions options;
    options.server = server_.address();
    options.ports.sleep = [](absl::Duration, const CancelToken*) {};
    return options;
  }

  std::string Path(const std::string& name) { return (dir_ / name).string(); }

  std::string Write(const std::string& name, const std::string& bytes) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
    return Path(name);
  }

  std::string Read(const std::string& name) {
    std::ostringstream bytes;
    bytes << std::ifstream(dir_ / name, std::ios::binary).rdbuf();
    return bytes.str();
  }

  void BreakStreamsAfter(int messages) {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().break_streams_after = messages;
  }

  // A name per test: they may run at the same time.
  const fs::path dir_ =
      fs::path(::testing::TempDir()) /
      (std::string("artifacts_") +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  FakeServer server_;
  Client client_;
};

std::string NameOf(const std::string& bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Name();
}

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& c : bytes)
    c = static_cast<char>((state = state * 1664525 + 7) >> 24);
  return bytes;
}

TEST(Sha256, GivesTheKnownNames) {
  EXPECT_EQ(NameOf("abc"),
            "sha256:"
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(IsArtifactName(NameOf("")));
  EXPECT_FALSE(IsArtifactName("sha256:ABC"));
}

TEST_F(ArtifactsTest, FilesGoUpAndComeBack) {
  for (const size_t size : {0, 1, 1 << 20}) {
    const std::string bytes = Bytes(size);
    uint64_t done = 99, total = 99;
    TransferOptions options;
    options.progress = [&](uint64_t d, uint64_t t) { done = d, total = t; };
    const auto stored = UploadPath(client_, Write("file", bytes), options);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(stored->artifact, NameOf(bytes));
    EXPECT_EQ(done, size);
    EXPECT_EQ(total, size);
    const auto back = DownloadPath(client_, stored->artifact, Path("back"), {});
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(Read("back"), bytes);
  }
}

TEST_F(ArtifactsTest, UploadsGoOnWhereTheyBroke) {
  BreakStreamsAfter(2);
  const std::string bytes = Bytes(5 << 20);
  const auto stored = UploadPath(client_, Write("file", bytes), {});
  // 10 chunks of 512 KiB, two a stream.
  ASSERT_TRUE(stored.ok()) << stored.status();
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_EQ(server_.state().blobs[stored->artifact], bytes);
  const uint64_t mib = 1 << 20;
  EXPECT_THAT(server_.state().upload_offsets,
              ElementsAre(0, mib, 2 * mib, 3 * mib, 4 * mib, 5 * mib));
}

TEST_F(ArtifactsTest, DownloadsGoOnWhereTheyBroke) {
  const std::string bytes = Bytes(1000000);
  const auto stored = UploadPath(client_, Write("file", bytes), {});
  ASSERT_TRUE(stored.ok());
  BreakStreamsAfter(4);
  const auto back = DownloadPath(client_, stored->artifact, Path("back"), {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(Read("back"), bytes);
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_THAT(server_.state().download_offsets,
              ElementsAre(0u, 400000u, 800000u));
}

TEST_F(ArtifactsTest, WhatIsInTheWayStaysUnlessToldOtherwise) {
  Write("folder/a", "new a");
  Write("folder/b", "new b");
  const auto stored = UploadPath(client_, Path("folder"), {});
  ASSERT_TRUE(stored.ok());
  Write("back/b", "old b");
  TransferOptions options;
  options.overwrite = false;
  const auto refused =
      DownloadPath(client_, stored->artifact, Path("back"), options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Read("back/b"), "old b");
  EXPECT_FALSE(fs::exists(Path("back/a")));  // all of them or none
  Write("back/b", "new b");                  // the same bytes are in no way
  EXPECT_TRUE(
      DownloadPath(client_, stored->artifact, Path("back"), options).ok());
  Write("back/a", "old a");
  EXPECT_TRUE(DownloadPath(client_, stored->artifact, Path("back"), {}).ok());
  EXPECT_EQ(Read("back/a"), "new a");
}

TEST_F(ArtifactsTest, WrongBytesAreFetchedOnceMoreThenRefused) {
  const auto stored = UploadPath(client_, Write("file", "abc"), {});
  ASSERT_TRUE(stored.ok());
  {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().corrupt_downloads = 1;
  }
  EXPECT_TRUE(DownloadPath(client_, stored->artifact, Path("back"), {}).ok());
  fs::remove(Path("back"));
  {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().corrupt_downloads = 2;
  }
  const auto bad = DownloadPath(client_, stored->artifact, Path("back"), {});
  EXPECT_TRUE(absl::IsDataLoss(bad.status())) << bad.status();
  EXPECT_FALSE(fs::exists(Path("back")));
}

TEST_F(ArtifactsTest, AStalePartDoesNotSpoilTheDownload) {
  const std::string bytes = Bytes(300000);
  const auto stored = UploadPath(client_, Write("file", bytes), {});
  ASSERT_TRUE(stored.ok());
  Write("back.part-" + stored->artifact.substr(7, 12), "not its beginning");
  ASSERT_TRUE(DownloadPath(client_, stored->artifact, Path("back"), {}).ok());
  EXPECT_EQ(Read("back"), bytes);
}

TEST_F(ArtifactsTest, WhatIsThereIsNotSentAgain) {
  EXPECT_TRUE(UploadPath(client_, Write("file", "abc"), {})->sent);
  EXPECT_FALSE(UploadPath(client_, Write("copy", "abc"), {})->sent);
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_EQ(server_.state().upload_offsets.size(), 1u);
}

TEST_F(ArtifactsTest, AFolderIsSentWhereSomeOfItIsNew) {
  Write("data/1", "one");
  EXPECT_TRUE(UploadPath(client_, Path("data"), {})->sent);
  EXPECT_FALSE(UploadPath(client_, Path("data"), {})->sent);
  Write("data/2", "two");
  EXPECT_TRUE(UploadPath(client_, Path("data"), {})->sent);
}

TEST_F(ArtifactsTest, FoldersGoUpAndComeBack) {
  Write("data/b/2.txt", "two");
  Write("data/a.txt", "one");
  Write("data/empty", "");
  fs::create_symlink(dir_ / "data/a.txt", dir_ / "data/link");
  const auto stored = UploadPath(client_, Path("data"), {});
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_TRUE(stored->folder);
  EXPECT_EQ(stored->files, 4u);
  EXPECT_EQ(stored->size_bytes, 9u);
  const auto described = DescribePath(Path("data"));
  ASSERT_TRUE(described.ok());
  EXPECT_EQ(described->artifact, stored->artifact);
  const auto back = DownloadPath(client_, stored->artifact, Path("back"), {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->folder);
  EXPECT_EQ(Read("back/b/2.txt"), "two");
  EXPECT_EQ(Read("back/link"), "one");
  EXPECT_EQ(Read("back/empty"), "");
  EXPECT_TRUE(fs::exists(Path("back/empty")));
}

TEST_F(ArtifactsTest, RefusesWhatIsNoFileAndSaysWhich) {
  EXPECT_TRUE(absl::IsNotFound(UploadPath(client_, Path("none"), {}).status()));
  fs::create_directories(dir_ / "nothing");
  EXPECT_THAT(
      std::string(UploadPath(client_, Path("nothing"), {}).status().message()),
      HasSubstr("holds no files"));
  Write("data/a", "1");
  fs::create_directory_symlink(dir_ / "nothing", dir_ / "data/loop");
  EXPECT_THAT(
      std::string(UploadPath(client_, Path("data"), {}).status().message()),
      HasSubstr("loop: must be a file or folder"));
  EXPECT_TRUE(absl::IsNotFound(
      DownloadPath(client_, NameOf("never stored"), Path("x"), {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      DownloadPath(client_, "sha256:zz", Path("x"), {}).status()));
}

TEST(FolderManifest, IsSortedAndReadBack) {
  const std::string hash = NameOf("x");
  const std::string text = FormatManifest({{"b/c", hash, 2}, {"a", hash, 1}});
  EXPECT_EQ(
      text,
      "{\"trainyard_folder\":1,\"files\":[{\"path\":\"a\",\"artifact\":\"" +
          hash + "\",\"size_bytes\":1},{\"path\":\"b/c\",\"artifact\":\"" +
          hash + "\",\"size_bytes\":2}]}");
  EXPECT_TRUE(LooksLikeManifest(text.substr(0, 64)));
  EXPECT_TRUE(LooksLikeManifest("{ \"trainyard_folder\": 1,\n"));
  EXPECT_FALSE(LooksLikeManifest("{\"a\":1}"));
  const auto entries = ParseManifest(text);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_THAT(*entries, ElementsAre(FolderEntry{"a", hash, 1},
                                    FolderEntry{"b/c", hash, 2}));
}

TEST(FolderManifest, RefusesPathsThatLeaveTheFolder) {
  for (const char* bad : {"", "/etc/passwd", "../x", "a/../../x", "a//b", "./a",
                          "a/", "a\\b", "a\nb"}) {
    EXPECT_FALSE(CheckRelativePath(bad).ok()) << bad;
    const auto entries = ParseManifest(FormatManifest({{bad, NameOf("x"), 1}}));
    EXPECT_TRUE(absl::IsInvalidArgument(entries.status())) << bad;
  }
  EXPECT_TRUE(CheckRelativePath("a/..b/c.txt").ok());
}

TEST(FolderManifest, RefusesWhatIsNoManifest) {
  const std::string hash = NameOf("x");
  for (const std::string& bad :
       {std::string("{"), std::string("[]"), std::string("{\"files\":[]}"),
        std::string("{\"trainyard_folder\":2,\"files\":[]}"),
        std::string("{\"trainyard_folder\":1,\"files\":[7]}"),
        std::string("{\"trainyard_folder\":1,\"files\":[{\"path\":\"a\","
                    "\"artifact\":\"x\",\"size_bytes\":1}]}"),
        FormatManifest({{"a", hash, 1}, {"a", hash, 1}})}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseManifest(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace trainyard::client
