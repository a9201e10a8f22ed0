#include "workers/agent/kept.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "workers/agent/testing/temp_dir.h"
#include "workers/agent/work_dir.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

Kept Everything() {
  return {.worker = "w1",
          .instance = "i1",
          .attempts = {
              {.key = {7, 1},
               .outcome = Outcome::kFailed,
               .failure = Failure{.category = FailureCategory::kOutOfMemory,
                                  .message = "out of memory",
                                  .stderr_tail = "last\nwords",
                                  .exit_code = -9},
               .checkpoint = Checkpoint{20, "sha256:a", 5},
               .unsent = LocalCheckpoint{40, "/c"}},
              {.key = {8, 2},
               .outcome = Outcome::kSucceeded,
               .outputs = {{"model", "sha256:b", 3}}},
              {.key = {9, 1},
               .outcome = Outcome::kSucceeded,
               .unsent_outputs = {"model", "report"}}}};
}

TEST(KeptTest, ComesBackAsItWas) {
  TempDir dir;
  const std::string file = dir / "kept.json";
  const auto none = ReadKept(file);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  ASSERT_TRUE(WriteKept(file, Everything()).ok());
  const auto kept = ReadKept(file);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(**kept, Everything());
}

TEST(KeptTest, ADamagedFileIsSaidToBe) {
  TempDir dir;
  const std::string file = dir / "kept.json";
  for (const char* text :
       {"", "{", "[]", R"({"trainyard_kept": 2})", R"({"trainyard_kept": 1})",
        R"({"trainyard_kept": 1, "worker": "w", "instance": "i",
            "attempts": [{"job": 1, "attempt": 1, "outcome": "odd",
                          "outputs": [], "unsent_outputs": []}]})"}) {
    std::ofstream(file) << text;
    EXPECT_EQ(ReadKept(file).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(WorkDirTest, KeepsTheFoldersOfWhatWasKept) {
  TempDir dir;
  {
    const auto first = WorkDir::Open(dir.path());
    ASSERT_TRUE(first.ok());
    EXPECT_FALSE(first->kept());
    for (const char* folder : {"attempts/7-1/work", "attempts/6-1/work"}) {
      fs::create_directories(dir / folder);
    }
    std::ofstream(dir / "attempts/7-1/work/c") << "weights";
    ASSERT_TRUE(first->Keep(Everything()).ok());
  }
  {
    auto second = WorkDir::Open(dir.path());
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(second->kept(), Everything());
    EXPECT_TRUE(fs::exists(dir / "attempts/7-1/work/c"));
    EXPECT_FALSE(fs::exists(dir / "attempts/6-1"));
    second->ForgetKept();
  }
  const auto third = WorkDir::Open(dir.path());
  ASSERT_TRUE(third.ok());
  EXPECT_FALSE(third->kept());
  EXPECT_FALSE(fs::exists(dir / "attempts/7-1"));
}

}  // namespace
}  // namespace trainyard::agent
