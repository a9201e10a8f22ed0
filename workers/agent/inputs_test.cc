#include "workers/agent/inputs.h"

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/artifact_client.h"
#include "workers/agent/data_roots.h"
#include "workers/agent/input_cache.h"
#include "workers/agent/input_names.h"
#include "workers/agent/manifest.h"
#include "workers/agent/testing/fake_server.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}
void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}
std::string Bytes(size_t size, char fill) { return std::string(size, fill); }
constexpr BackoffOptions kQuick{.first = absl::Milliseconds(1),
                                .longest = absl::Milliseconds(5)};

// ---- manifest

TEST(ManifestTest, SurvivesTheRoundTripSorted) {
  const std::string name = "sha256:" + std::string(64, 'a');
  const auto files =
      ParseManifest(FormatManifest({{"b/c", name, 2}, {"a", name, 1}}));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(*files, ElementsAre(ManifestFile{"a", name, 1},
                                  ManifestFile{"b/c", name, 2}));
  EXPECT_TRUE(LooksLikeManifest(FormatManifest({})));
  EXPECT_FALSE(LooksLikeManifest("{\"a\":1}"));
}

TEST(ManifestTest, RefusesPathsThatLeadOutside) {
  for (const std::string path :
       {"", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a/.."}) {
    EXPECT_FALSE(CheckRelativePath(path).ok()) << path;
  }
  EXPECT_FALSE(CheckRelativePath(std::string("a\0b", 3)).ok());
  EXPECT_FALSE(CheckRelativePath(std::string(5000, 'a')).ok());
  for (const std::string path : {"a", "a/b", "..a", "a..b/...", "~"}) {
    EXPECT_TRUE(CheckRelativePath(path).ok()) << path;
  }
}

TEST(ManifestTest, NamesWhatIsWrong) {
  const std::string good = "sha256:" + std::string(64, 'a');
  const auto with_file = [](const std::string& file) {
    return R"({"trainyard_folder":1,"files":[)" + file + "]}";
  };
  const struct {
    std::string text;
    const char* message;
  } kCases[] = {
      {"", "JSON object"},
      {"[]", "JSON object"},
      {"{}", "trainyard_folder"},
      {R"({"trainyard_folder":2})", "trainyard_folder: must be 1"},
      {R"({"trainyard_folder":1,"files":{}})", "files: must be a list"},
      {with_file("7"), "files: must be a list of objects"},
      {with_file(R"({"path":7})"), "files[].path: must be a string"},
      {with_file(R"({"path":"../x"})"), "must not have \"..\""},
      {with_file(R"({"path":"x","artifact":"md5:1"})"), "\"md5:1\""},
      {with_file(R"({"path":"x","artifact":")" + good +
                 R"(","size_bytes":-1})"),
       "x: size_bytes"},
  };
  for (const auto& c : kCases) {
    const auto files = ParseManifest(c.text);
    ASSERT_FALSE(files.ok()) << c.text;
    EXPECT_THAT(std::string(files.status().message()), HasSubstr(c.message));
  }
}

// ---- data roots

TEST(DataRootsTest, AllowsOnlyWhatIsInsideARoot) {
  TempDir dir;
  Write(dir / "data/glyphs/x", "");
  Write(dir / "secret/x", "");
  fs::create_symlink(dir / "secret", dir / "data/way-out");
  fs::create_symlink(dir / "data", dir / "link");
  const auto roots = DataRoots::Make({dir / "link/"});
  ASSERT_TRUE(roots.ok()) << roots.status();
  const struct {
    std::string path;
    absl::StatusCode code;
  } kCases[] = {
      {dir / "data/glyphs", absl::StatusCode::kOk},
      {dir / "link/glyphs", absl::StatusCode::kOk},
      {dir / "link", absl::StatusCode::kOk},
      {dir / "data/../data/glyphs", absl::StatusCode::kOk},
      {dir / "data/missing", absl::StatusCode::kNotFound},
      {dir / "secret", absl::StatusCode::kPermissionDenied},
      {dir / "nowhere", absl::StatusCode::kPermissionDenied},
      {dir / "data/way-out", absl::StatusCode::kPermissionDenied},
      {dir / "data/../secret", absl::StatusCode::kPermissionDenied},
      {dir / "database", absl::StatusCode::kPermissionDenied},
      {"data/glyphs", absl::StatusCode::kInvalidArgument},
      {"", absl::StatusCode::kInvalidArgument},
      {std::string("/a\0b", 4), absl::StatusCode::kInvalidArgument},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(roots->Check(c.path).status().code(), c.code) << c.path;
  }
  EXPECT_THAT(std::string(roots->Check(dir / "secret").status().message()),
              HasSubstr("--data-root"));
  EXPECT_EQ(*roots->Check(dir / "link/glyphs"), dir / "data/glyphs");
}

TEST(DataRootsTest, RefusesRootsThatAreNotThere) {
  EXPECT_FALSE(DataRoots::Make({"/no/such/folder"}).ok());
  EXPECT_FALSE(DataRoots::Make({"tmp"}).ok());
  EXPECT_TRUE(DataRoots::Make({"/"})->Check("/tmp").ok());
}

// ---- artifacts and the cache

class CacheTest : public ::testing::Test {
 protected:
  InputCache& Make(uint64_t limit_bytes = 1 << 20) {
    cache_ = std::make_unique<InputCache>(
        InputCacheOptions{.folder = dir_.path(), .limit_bytes = limit_bytes},
        &client_, &clock_);
    const absl::Status status = cache_->Open();
    EXPECT_TRUE(status.ok()) << status;
    return *cache_;
  }
  std::string PutFolder(
      std::vector<std::pair<std::string, std::string>> files) {
    std::vector<ManifestFile> list;
    for (const auto& [path, text] : files) {
      list.push_back({path, server_.Put(text), text.size()});
    }
    return server_.Put(FormatManifest(list));
  }
  bool InCache(const std::string& artifact) {
    return fs::exists(dir_ / ("blobs/" + artifact.substr(7)));
  }

  TempDir dir_;
  ManualClock clock_{absl::FromUnixSeconds(1000)};
  FakeServer server_;
  ArtifactClient client_{server_.Channel(), {.backoff = kQuick}, 1};
  Cancellation cancel_;
  std::unique_ptr<InputCache> cache_;
};

TEST_F(CacheTest, FetchesABlobOnce) {
  Make();
  const std::string name = server_.Put(Bytes(5000, 'x'));
  {
    const auto pin = cache_->GetFile(name, &cancel_);
    ASSERT_TRUE(pin.ok()) << pin.status();
    EXPECT_EQ(Read(pin->path()), Bytes(5000, 'x'));
    struct stat info;
    ASSERT_EQ(stat(pin->path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0444u);
  }
  EXPECT_TRUE(cache_->GetFile(name, &cancel_).ok());
  EXPECT_EQ(server_.transfers(), 1);
  Make();  // as after a restart
  EXPECT_TRUE(cache_->GetFile(name, &cancel_).ok());
  EXPECT_EQ(server_.transfers(), 1);
}

TEST_F(CacheTest, AnEmptyBlobIsABlob) {
  Make();
  EXPECT_TRUE(cache_->GetFile(server_.Put(""), &cancel_).ok());
}

TEST_F(CacheTest, GoesOnWhereATransferBroke) {
  Make();
  const std::string name = server_.Put(Bytes(50000, 'x'));
  server_.set_broken_transfers(1);
  const auto pin = cache_->GetFile(name, &cancel_);
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_EQ(Read(pin->path()), Bytes(50000, 'x'));
  EXPECT_EQ(server_.transfers(), 2);
}

TEST_F(CacheTest, RefusesBytesThatDoNotMatchTheirName) {
  Make();
  const std::string name = server_.Put(Bytes(5000, 'x'));
  server_.set_corrupt(true);
  const auto pin = cache_->GetFile(name, &cancel_);
  EXPECT_EQ(pin.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(InCache(name));
  EXPECT_EQ(cache_->used_bytes(), 0u);
  server_.set_corrupt(false);
  EXPECT_TRUE(cache_->GetFile(name, &cancel_).ok());
}

TEST_F(CacheTest, ALeftoverThatIsWrongIsFetchedAnew) {
  Make();
  const std::string name = server_.Put(Bytes(5000, 'x'));
  Write(dir_ / ("partial/" + name.substr(7)), "garbage");
  const auto pin = cache_->GetFile(name, &cancel_);
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_EQ(Read(pin->path()), Bytes(5000, 'x'));
}

TEST_F(CacheTest, SaysWhatIsMissing) {
  Make();
  const std::string name = "sha256:" + std::string(64, '0');
  const auto pin = cache_->GetFile(name, &cancel_);
  EXPECT_EQ(pin.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(pin.status().message()), HasSubstr(name));
  EXPECT_EQ(cache_->GetFile("sha256:../../x", &cancel_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CacheTest, BuildsFolders) {
  Make();
  const std::string name =
      PutFolder({{"train/a", "A"}, {"train/b", "B"}, {"twin", "A"}});
  const auto pin = cache_->GetAny(name, &cancel_);
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_EQ(Read(pin->path() + "/train/a"), "A");
  EXPECT_EQ(Read(pin->path() + "/train/b"), "B");
  EXPECT_EQ(Read(pin->path() + "/twin"), "A");
}

TEST_F(CacheTest, ABlobThatIsNoManifestIsNoFolder) {
  Make();
  const std::string name = server_.Put("just text");
  const auto pin = cache_->GetFolder(name, &cancel_);
  EXPECT_EQ(pin.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pin.status().message()), HasSubstr("is no folder"));
  EXPECT_EQ(Read(cache_->GetAny(name, &cancel_)->path()), "just text");
}

TEST_F(CacheTest, AFolderThatNamesAFileTwiceIsRefused) {
  Make();
  for (const char* second : {"a", "a/b"}) {
    const std::string name = PutFolder({{"a", "A"}, {second, "B"}});
    EXPECT_EQ(cache_->GetFolder(name, &cancel_).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(CacheTest, DropsWhatWasUsedLongestAgo) {
  Make(35000);
  std::vector<std::string> names;
  for (char c = 'a'; c <= 'c'; ++c) {
    names.push_back(server_.Put(Bytes(10000, c)));
    EXPECT_TRUE(cache_->GetFile(names.back(), &cancel_).ok());
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_TRUE(cache_->GetFile(names[0], &cancel_).ok());  // now the newest
  EXPECT_TRUE(cache_->GetFile(server_.Put(Bytes(10000, 'd')), &cancel_).ok());
  EXPECT_TRUE(InCache(names[0]));
  EXPECT_FALSE(InCache(names[1]));
  EXPECT_TRUE(InCache(names[2]));
  EXPECT_LE(cache_->used_bytes(), 35000u);
}

TEST_F(CacheTest, KeepsWhatIsInUse) {
  Make(25000);
  const std::string first = server_.Put(Bytes(10000, 'a'));
  const std::string second = server_.Put(Bytes(10000, 'b'));
  const std::string third = server_.Put(Bytes(10000, 'c'));
  auto pin1 = cache_->GetFile(first, &cancel_);
  {
    const auto pin2 = cache_->GetFile(second, &cancel_);
    const auto refused = cache_->GetFile(third, &cancel_);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("--cache-limit"));
  }
  EXPECT_TRUE(cache_->GetFile(third, &cancel_).ok());
  EXPECT_TRUE(InCache(first));
  EXPECT_FALSE(InCache(second));
}

TEST_F(CacheTest, DropsFoldersWithTheirFiles) {
  Make(30000);
  const std::string folder =
      PutFolder({{"a", Bytes(10000, 'a')}, {"b", Bytes(10000, 'b')}});
  const std::string blob = server_.Put(Bytes(20000, 'c'));
  {
    const auto pin = cache_->GetFolder(folder, &cancel_);
    ASSERT_TRUE(pin.ok()) << pin.status();
    EXPECT_FALSE(cache_->GetFile(blob, &cancel_).ok());  // files are in use
  }
  clock_.Advance(absl::Seconds(1));
  const auto fetched = cache_->GetFile(blob, &cancel_);
  EXPECT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_TRUE(fs::is_empty(dir_ / "folders"));
  EXPECT_TRUE(fs::is_empty(dir_ / "partial"));
}

TEST_F(CacheTest, RefusesWhatIsLargerThanTheWholeCache) {
  Make(1000);
  const auto pin = cache_->GetFile(server_.Put(Bytes(5000, 'x')), &cancel_);
  EXPECT_EQ(pin.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(cache_->used_bytes(), 0u);
}

TEST_F(CacheTest, ShrinksToALowerLimitWhenItOpens) {
  Make();
  EXPECT_TRUE(cache_->GetFile(server_.Put(Bytes(5000, 'x')), &cancel_).ok());
  Make(1000);
  EXPECT_EQ(cache_->used_bytes(), 0u);
}

TEST_F(CacheTest, SharesOneTransferAmongCallers) {
  Make();
  const std::string name = server_.Put(Bytes(100000, 'x'));
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      Cancellation cancel;
      EXPECT_TRUE(cache_->GetFile(name, &cancel).ok());
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(server_.transfers(), 1);
}

TEST_F(CacheTest, GivesUpWhenCancelled) {
  Make();
  const std::string name = server_.Put(Bytes(5000, 'x'));
  server_.set_broken_transfers(1000000);
  std::thread other([&] { cancel_.Cancel(); });
  EXPECT_EQ(cache_->GetFile(name, &cancel_).status().code(),
            absl::StatusCode::kCancelled);
  other.join();
}

TEST_F(CacheTest, UploadsAFile) {
  Write(dir_ / "model", Bytes(3 << 20, 'w'));
  server_.set_broken_transfers(2);
  const auto blob = client_.UploadFile(dir_ / "model", "model", &cancel_);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->size_bytes, 3u << 20);
  EXPECT_EQ(server_.blobs().at(blob->artifact), Bytes(3 << 20, 'w'));
  EXPECT_EQ(server_.transfers(), 3);
  EXPECT_TRUE(client_.UploadFile(dir_ / "model", "again", &cancel_).ok());
  EXPECT_EQ(server_.transfers(), 3);  // it was there
}

TEST_F(CacheTest, UploadsAnEmptyFile) {
  Write(dir_ / "empty", "");
  const auto blob = client_.UploadFile(dir_ / "empty", "empty", &cancel_);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_TRUE(server_.blobs().contains(blob->artifact));
}

TEST_F(CacheTest, UploadsOnlyRegularFiles) {
  fs::create_symlink("/etc/passwd", dir_ / "link");
  EXPECT_FALSE(client_.UploadFile(dir_ / "link", "x", &cancel_).ok());
  EXPECT_FALSE(client_.UploadFile(dir_.path(), "x", &cancel_).ok());
  EXPECT_EQ(client_.UploadFile(dir_ / "no", "x", &cancel_).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CacheTest, AFolderComesBackAsItWasUploaded) {
  Make();
  Write(dir_ / "ckpt/model", "weights");
  Write(dir_ / "ckpt/optimizer/state", "momentum");
  const auto blob = client_.UploadFolder(dir_ / "ckpt", "ckpt", &cancel_);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->size_bytes, 15u);
  const auto pin = cache_->GetAny(blob->artifact, &cancel_);
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_EQ(Read(pin->path() + "/optimizer/state"), "momentum");
}

// ---- both together

TEST_F(CacheTest, ResolvesEverySourceToAPath) {
  Make();
  Write(dir_ / "data/x", "");
  const DataRoots roots = *DataRoots::Make({dir_ / "data"});
  v1::JobSpec spec;
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_data()->mutable_source()->set_path(dir_ / "data");
  training.mutable_model()->mutable_weights()->set_artifact(server_.Put("w"));
  const auto pins = ResolveInputs(roots, cache_.get(), &cancel_, spec);
  ASSERT_TRUE(pins.ok()) << pins.status();
  EXPECT_EQ(training.data().source().path(), dir_ / "data");
  EXPECT_EQ(Read(training.model().weights().path()), "w");

  v1::JobSpec folder;
  v1::Source& source =
      *folder.mutable_training()->mutable_data()->mutable_source();
  source.set_artifact(PutFolder({{"train-images-idx3-ubyte", "bytes"}}));
  ASSERT_TRUE(ResolveInputs(roots, cache_.get(), &cancel_, folder).ok());
  EXPECT_TRUE(fs::is_directory(source.path()));
}

TEST_F(CacheTest, ResolvesEachMemberOfAnEnsembleAndFetchesWhatIsSharedOnce) {
  Make();
  Write(dir_ / "data/model.json", "{}");
  Write(dir_ / "secret/model.json", "{}");
  const DataRoots roots = *DataRoots::Make({dir_ / "data"});
  v1::JobSpec spec;
  v1::EnsembleInferenceSpec& ensemble = *spec.mutable_ensemble();
  ensemble.mutable_data()->mutable_source()->set_path(dir_ / "data");
  const std::string weights = server_.Put("weights");
  for (int i = 0; i < 3; ++i) {
    v1::EnsembleMember& member = *ensemble.add_members();
    member.mutable_model()->mutable_weights()->set_artifact(weights);
    member.mutable_config()->set_path(dir_ / "data/model.json");
  }
  ensemble.add_members()->mutable_torchscript()->set_artifact(
      server_.Put("script"));
  v1::JobSpec outside = spec;
  {
    const auto pins = ResolveInputs(roots, cache_.get(), &cancel_, spec);
    ASSERT_TRUE(pins.ok()) << pins.status();
    EXPECT_EQ(server_.transfers(), 2);
    for (int i = 0; i < 3; ++i) {
      const v1::EnsembleMember& member = ensemble.members(i);
      EXPECT_EQ(Read(member.model().weights().path()), "weights");
      EXPECT_EQ(member.config().path(), dir_ / "data/model.json");
    }
    EXPECT_EQ(Read(ensemble.members(3).torchscript().path()), "script");
  }
  outside.mutable_ensemble()->mutable_members(2)->mutable_config()->set_path(
      dir_ / "secret/model.json");
  const absl::Status status =
      ResolveInputs(roots, cache_.get(), &cancel_, outside).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("ensemble.members[2].config: "));
}

TEST_F(CacheTest, FilesInTheCacheAreCalledByTheFieldThatAskedForThem) {
  Make();
  Write(dir_ / "data/model.json", "{}");
  const DataRoots roots = *DataRoots::Make({dir_ / "data"});
  v1::JobSpec spec;
  v1::EnsembleInferenceSpec& ensemble = *spec.mutable_ensemble();
  ensemble.mutable_data()->mutable_source()->set_artifact(
      PutFolder({{"images.idx", "bytes"}}));
  ensemble.add_members()->mutable_config()->set_path(dir_ / "data/model.json");
  ensemble.add_members()->mutable_model()->mutable_weights()->set_artifact(
      server_.Put("weights"));
  const v1::JobSpec asked = spec;
  const auto pins = ResolveInputs(roots, cache_.get(), &cancel_, spec);
  ASSERT_TRUE(pins.ok()) << pins.status();
  const InputNames names(dir_.path(), asked, spec);
  EXPECT_EQ(names.In(ensemble.data().source().path() +
                     "/images.idx is truncated, not " +
                     ensemble.members(1).model().weights().path()),
            "ensemble.data.source/images.idx is truncated, not "
            "ensemble.members[1].model.weights");
  const std::string own = ensemble.members(0).config().path() + ": no JSON";
  EXPECT_EQ(names.In(own), own);
  EXPECT_EQ(InputNames().In(own), own);
}

TEST_F(CacheTest, RefusesAJobOfAnotherKind) {
  Make();
  const DataRoots roots = *DataRoots::Make({});
  v1::JobSpec spec;
  EXPECT_EQ(ResolveInputs(roots, cache_.get(), &cancel_, spec).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST_F(CacheTest, NamesTheFieldAndThePathThatIsMissing) {
  Make();
  Write(dir_ / "data/file", "");
  const DataRoots roots = *DataRoots::Make({dir_ / "data"});
  const auto error = [&](const std::string& path) {
    v1::JobSpec spec;
    spec.mutable_training()->mutable_data()->mutable_source()->set_path(path);
    return ResolveInputs(roots, cache_.get(), &cancel_, spec).status();
  };
  EXPECT_THAT(std::string(error(dir_ / "data/none").message()),
              HasSubstr("training.data.source: \"" + dir_.path() +
                        "/data/none\": there is no such"));
  EXPECT_THAT(std::string(error(dir_ / "data/file").message()),
              HasSubstr("must be a folder"));
  EXPECT_EQ(FailureOf(error(dir_ / "data/none")).category,
            FailureCategory::kUserError);
  EXPECT_EQ(FailureOf(absl::ResourceExhaustedError("disk")).category,
            FailureCategory::kInfrastructure);
}

}  // namespace
}  // namespace trainyard::agent
