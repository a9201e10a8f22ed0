#include "server/rpc/names.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::rpc {
namespace {

using ::testing::HasSubstr;

TEST(JobNames, GoRound) {
  EXPECT_EQ(JobName(core::JobId(17)), "jobs/17");
  EXPECT_EQ(*ParseJobName("name", "jobs/17"), core::JobId(17));
  EXPECT_EQ(*ParseJobName("name", "jobs/9223372036854775807"),
            core::JobId(kMaxNumber));
}

TEST(JobNames, HaveOneSpelling) {
  for (const char* wrong :
       {"", "17", "jobs/", "jobs/0", "jobs/017", "jobs/+1", "jobs/-1",
        "jobs/ 1", "jobs/1 ", "jobs/1/", "Jobs/1", "jobs/9223372036854775808",
        "jobs/99999999999999999999", "workers/1"}) {
    const auto job = ParseJobName("name", wrong);
    EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(job.status().message()), HasSubstr("jobs/17"));
  }
}

TEST(WorkerNames, GoRound) {
  EXPECT_EQ(WorkerResourceName(core::WorkerName("mac-mini")),
            "workers/mac-mini");
  EXPECT_EQ(*ParseWorkerResourceName("name", "workers/mac-mini"),
            core::WorkerName("mac-mini"));
  for (const char* wrong : {"", "mac-mini", "workers/", "workers/Mac",
                            "workers/a b", "workers/a/b", "jobs/1"}) {
    EXPECT_FALSE(ParseWorkerResourceName("name", wrong).ok()) << wrong;
  }
  EXPECT_FALSE(IsWorkerName(std::string(64, 'a')));
  EXPECT_TRUE(IsWorkerName(std::string(63, 'a')));
}

TEST(ArtifactNames, AreLowerCaseHex) {
  EXPECT_TRUE(IsArtifactName("sha256:" + std::string(64, 'a')));
  EXPECT_FALSE(IsArtifactName("sha256:" + std::string(64, 'A')));
  EXPECT_FALSE(IsArtifactName("sha256:" + std::string(63, 'a')));
  EXPECT_FALSE(IsArtifactName("sha256:" + std::string(65, 'a')));
  EXPECT_FALSE(IsArtifactName("sha256:../" + std::string(61, 'a')));
  EXPECT_FALSE(IsArtifactName(std::string(64, 'a')));
}

TEST(PageTokens, GoRound) {
  EXPECT_EQ(*ParseJobPageToken(""), core::JobId());
  EXPECT_EQ(*ParseJobPageToken(JobPageToken(core::JobId(5))), core::JobId(5));
  EXPECT_FALSE(ParseJobPageToken("5").ok());
  EXPECT_FALSE(ParseJobPageToken("jx").ok());
  EXPECT_EQ(*ParseWorkerPageToken(WorkerPageToken(core::WorkerName("a"))),
            core::WorkerName("a"));
  EXPECT_FALSE(ParseWorkerPageToken("w").ok());
}

TEST(Cursors, GoRound) {
  EXPECT_EQ(*ParseCursor(""), 0u);
  EXPECT_EQ(*ParseCursor(Cursor(0)), 0u);
  EXPECT_EQ(*ParseCursor(Cursor(123)), 123u);
  EXPECT_FALSE(ParseCursor("-1").ok());
  EXPECT_FALSE(ParseCursor("1x").ok());
}

TEST(Quoted, ShortensAndEscapes) {
  EXPECT_EQ(Quoted("a"), "\"a\"");
  EXPECT_EQ(Quoted("ä"), "\"ä\"");
  EXPECT_EQ(Quoted("a\n\"b"), "\"a\\n\\\"b\"");
  EXPECT_EQ(Quoted(std::string(101, 'x')),
            "\"" + std::string(100, 'x') + "…\"");
  EXPECT_EQ(Quoted(std::string(99, 'x') + "äy"),
            "\"" + std::string(99, 'x') + "…\"");
}

}  // namespace
}  // namespace trainyard::rpc
