#include "server/server_flags.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard {
namespace {

using testing::HasSubstr;

absl::StatusOr<ServerFlags> Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "trainyard-server");
  return ParseFlags(static_cast<int>(args.size()), args.data());
}

TEST(ServerFlags, HasDefaultsThatKeepToThisMachine) {
  setenv("XDG_STATE_HOME", "/var/state", 1);
  const auto flags = Parse({});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->listen, "127.0.0.1:7070");
  EXPECT_EQ(flags->metrics_address, "127.0.0.1:9464");
  EXPECT_EQ(flags->state_dir, "/var/state/trainyard");
  EXPECT_EQ(flags->worker_lease, absl::Seconds(30));
}

TEST(ServerFlags, StateGoesBelowHomeWithoutXdg) {
  unsetenv("XDG_STATE_HOME");
  setenv("HOME", "/home/ada", 1);
  EXPECT_EQ(Parse({})->state_dir, "/home/ada/.local/state/trainyard");
}

TEST(ServerFlags, ReadsDurationsAndSizes) {
  const auto flags =
      Parse({"--worker-lease", "1m30s", "--artifact-limit=8GiB", "--ageing",
             "1h", "--share-half-life", "168h", "--reserve-after", "0s"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->order.ageing, absl::Hours(1));
  EXPECT_EQ(flags->order.half_life, absl::Hours(168));
  EXPECT_EQ(flags->order.reserve_after, absl::ZeroDuration());
  EXPECT_EQ(flags->worker_lease, absl::Seconds(90));
  EXPECT_EQ(flags->artifact_limit_bytes, 8ull << 30);
}

TEST(ServerFlags, NamesWhatIsWrong) {
  for (const auto& [flag, value] :
       std::vector<std::pair<const char*, const char*>>{
           {"--worker-lease", "-5s"},
           {"--worker-lease", "soon"},
           {"--ageing", "0s"},
           {"--share-half-life", "inf"},
           {"--reserve-after", "-1s"},
           {"--artifact-limit", "8 apples"}}) {
    const auto flags = Parse({flag, value});
    EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(flags.status().message()), HasSubstr(flag));
    EXPECT_THAT(std::string(flags.status().message()), HasSubstr(value));
  }
  EXPECT_FALSE(Parse({"--lisden", "127.0.0.1:1"}).ok());
}

TEST(ServerFlags, OpensToTheNetworkOnlyWhenTold) {
  for (const char* address : {"0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070",
                              "127.0.0.1.example.com:7070"}) {
    const auto flags = Parse({"--listen", address});
    EXPECT_EQ(flags.status().code(), absl::StatusCode::kFailedPrecondition)
        << address;
    EXPECT_TRUE(Parse({"--listen", address, "--insecure"}).ok()) << address;
  }
  for (const char* address : {"127.0.0.1:0", "localhost:7070", "[::1]:7070"}) {
    EXPECT_TRUE(Parse({"--listen", address}).ok()) << address;
  }
}

TEST(ServerFlags, TlsOpensBothPortsAndTokensAreNeededThen) {
  const auto flags =
      Parse({"--listen", "0.0.0.0:7070", "--metrics-address", "0.0.0.0:9464",
             "--tls-cert", "a", "--tls-key", "b"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->auth, auth::Mode::kOn);
  EXPECT_EQ(Parse({})->auth, auth::Mode::kAuto);
  EXPECT_EQ(Parse({"--listen", "0.0.0.0:1", "--insecure"})->auth,
            auth::Mode::kAuto);
  EXPECT_EQ(Parse({"--auth", "off"})->auth, auth::Mode::kOff);
  EXPECT_EQ(Parse({"--auth", "on"})->auth, auth::Mode::kOn);
  EXPECT_FALSE(Parse({"--auth", "perhaps"}).ok());
  EXPECT_EQ(Parse({"--listen", "0.0.0.0:7070", "--tls-cert", "a", "--tls-key",
                   "b", "--auth", "off"})
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ServerFlags, MetricsToOpenToTheNetworkOnlyWhenTold) {
  const auto flags = Parse({"--metrics-address", "0.0.0.0:9464"});
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(flags.status().message()),
              HasSubstr("--metrics-address"));
  EXPECT_TRUE(Parse({"--metrics-address", "0.0.0.0:1", "--insecure"}).ok());
  EXPECT_TRUE(Parse({"--metrics-address", "off"}).ok());
  EXPECT_FALSE(Parse({"--metrics-address", "nowhere"}).ok());
}

TEST(ServerFlags, CheckReadsTheFilesThatAreNamed) {
  EXPECT_FALSE(Parse({})->check);
  auto flags = Parse({"--check", "--tls-cert", "/no/cert", "--tls-key", "/no"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_TRUE(flags->check);
  EXPECT_THAT(CheckFiles(*flags).message(), HasSubstr("--tls-cert: /no/cert"));
  flags->tls = {};
  EXPECT_TRUE(CheckFiles(*flags).ok());
}

TEST(ServerFlags, TlsNeedsCertificateAndKey) {
  EXPECT_FALSE(Parse({"--tls-cert", "a"}).ok());
  EXPECT_FALSE(Parse({"--tls-key", "a"}).ok());
  EXPECT_FALSE(Parse({"--tls-client-ca", "a"}).ok());
}

TEST(ServerFlags, HelpAndVersionAreTexts) {
  EXPECT_THAT(Parse({"--version"})->exit_text, HasSubstr("trainyard-server"));
  EXPECT_THAT(Parse({"--help"})->exit_text, HasSubstr("--state-dir"));
}

}  // namespace
}  // namespace trainyard
