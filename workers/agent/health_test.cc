#include "workers/agent/health.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class HealthTest : public ::testing::Test {
 protected:
  absl::Status Check(HealthKind kind) {
    return CheckHealth(path_, kind, clock_.Now());
  }
  bool Live() { return Check(HealthKind::kLive).ok(); }
  bool Ready() { return Check(HealthKind::kReady).ok(); }
  std::string WhyNotReady() {
    return std::string(Check(HealthKind::kReady).message());
  }
  void Overwrite(const std::string& text) { std::ofstream(path_) << text; }

  TempDir folder_;
  const std::string path_ = folder_ / "health";
  ManualClock clock_{absl::FromUnixSeconds(1'000'000)};
};

TEST_F(HealthTest, IsLiveFromItsStartAndReadyOnceConnected) {
  HealthFile health(path_, &clock_);
  EXPECT_TRUE(Live());
  EXPECT_FALSE(Ready());
  health.SetConnected();
  EXPECT_TRUE(Ready());
}

TEST_F(HealthTest, WithoutAServerItIsLiveAndSaysWhyItIsNotReady) {
  HealthFile health(path_, &clock_);
  health.SetConnected();
  clock_.Advance(absl::Seconds(10));
  health.SetDisconnected("connection refused");
  clock_.Advance(absl::Seconds(42));
  health.SetDisconnected("connection refused");
  EXPECT_TRUE(Live());
  EXPECT_FALSE(Ready());
  EXPECT_THAT(WhyNotReady(), HasSubstr("for 42s: connection refused"));
  health.SetConnected();
  EXPECT_TRUE(Ready());
}

TEST_F(HealthTest, StaysWellByHeartbeatsOnly) {
  HealthFile health(path_, &clock_);
  health.SetConnected();
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(kHealthFileLife);
    EXPECT_TRUE(Ready()) << i;
    health.Renew();
  }
  clock_.Advance(kHealthFileLife + absl::Seconds(1));
  EXPECT_FALSE(Live());
  EXPECT_THAT(WhyNotReady(), HasSubstr("no sign of life for 1m31s"));
  health.Renew();
  EXPECT_TRUE(Ready());
}

TEST_F(HealthTest, DoesNotTrustTimesOfTheFuture) {
  HealthFile health(path_, &clock_);
  EXPECT_FALSE(
      CheckHealth(path_, HealthKind::kLive, clock_.Now() - absl::Hours(1))
          .ok());
}

TEST_F(HealthTest, IsGoneWithTheWorker) {
  std::make_unique<HealthFile>(path_, &clock_).reset();
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  EXPECT_THAT(WhyNotReady(), HasSubstr("no worker uses this work folder"));
}

TEST_F(HealthTest, TakesAnythingInTheFile) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"connected":true,"renewed_unix_ms":"now"})"),
        std::string(R"({"connected":true,"renewed_unix_ms":1e300})"),
        std::string(
            R"({"connected":true,"renewed_unix_ms":9223372036854775807})"),
        std::string(1 << 20, '{')}) {
    Overwrite(text);
    EXPECT_FALSE(Live()) << text.substr(0, 80);
  }
  Overwrite(R"({"connected":1,"reason":7,"renewed_unix_ms":1000000000})");
  EXPECT_TRUE(Live());
  EXPECT_THAT(WhyNotReady(), HasSubstr("for an unknown reason"));
}

TEST_F(HealthTest, ReasonsOfAnyBytesAndLengthAreKeptReadable) {
  HealthFile health(path_, &clock_);
  health.SetDisconnected(std::string(10'000, '\xff'));
  EXPECT_TRUE(Live());
  EXPECT_THAT(WhyNotReady(), HasSubstr("\xEF\xBF\xBD"));
}

TEST_F(HealthTest, SurvivesAFolderThatCannotBeWritten) {
  HealthFile health(folder_ / "gone/health", &clock_);
  health.SetConnected();
  EXPECT_FALSE(
      CheckHealth(folder_ / "gone/health", HealthKind::kLive, clock_.Now())
          .ok());
}

}  // namespace
}  // namespace trainyard::agent
