#include "client/trainctl/settings.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    console_.environment =
        [this](const char* name) -> std::optional<std::string> {
      const auto it = environment_.find(name);
      if (it == environment_.end()) return std::nullopt;
      return it->second;
    };
    std::filesystem::create_directories(home_ / ".config/trainyard");
    WriteFile("ca.crt", "-----BEGIN CERTIFICATE-----\n");
    WriteFile("x.key", "-----BEGIN PRIVATE KEY-----\n");
    WriteFile("token", "ty_a_b\n");
  }
  ~SettingsTest() override { std::filesystem::remove_all(home_); }

  void WriteFile(const std::string& name, const std::string& text) {
    std::ofstream(home_ / ".config/trainyard" / name) << text;
  }
  void WriteConfig(const std::string& text) { WriteFile("config.yaml", text); }
  std::string File(const std::string& name) {
    return (home_ / ".config/trainyard" / name).string();
  }

  absl::StatusOr<Settings> Read(const std::string& server = "",
                                const std::string& context = "") {
    SettingFlags flags;
    flags.set.server = server;
    flags.context = context;
    return ReadSettings(console_, flags);
  }
  std::string Server(const std::string& flag = "") {
    const auto settings = Read(flag);
    return settings.ok() ? settings->server
                         : std::string(settings.status().message());
  }

  // A folder per test: they may run at the same time.
  const std::filesystem::path home_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("settings_") +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::map<std::string, std::string> environment_ = {{"HOME", home_.string()}};
  Console console_;
};

TEST_F(SettingsTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  EXPECT_EQ(Server(), "127.0.0.1:7070");
  WriteConfig("server: file:1\n");
  EXPECT_EQ(Server(), "file:1");
  environment_["TRAINYARD_SERVER"] = "env:2";
  EXPECT_EQ(Server(), "env:2");
  EXPECT_EQ(Server("flag:3"), "flag:3");
}

TEST_F(SettingsTest, AChosenConfigFileMustBeThere) {
  environment_["TRAINYARD_CONFIG"] = (home_ / "none.yaml").string();
  const auto settings = Read();
  EXPECT_TRUE(absl::IsNotFound(settings.status())) << settings.status();
  EXPECT_THAT(std::string(settings.status().message()), HasSubstr("none.yaml"));
}

TEST_F(SettingsTest, RefusesWhatIsNoAddress) {
  for (const char* bad :
       {"host", ":7070", "host:", "host:0", "host:70000", "host:x", "a b:1"}) {
    const auto settings = Read(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(settings.status())) << bad;
    EXPECT_THAT(std::string(settings.status().message()),
                HasSubstr("must be host:port"));
  }
  EXPECT_EQ(Server("[::1]:7070"), "[::1]:7070");
}

TEST_F(SettingsTest, ConfigErrorsNameFileAndLine) {
  const std::pair<const char*, const char*> kRows[] = {
      {"sever: a:1\n",
       "config.yaml:1: sever: unknown field; did you mean "
       "\"server\"?"},
      {"server: 7070\n", "config.yaml:1: server: must be host:port"},
      {"server: a\n", "must be host:port"},
      {"a\n", "must be such as \"server: 127.0.0.1:7070\""},
      {"server: [", "config.yaml: line"},
      {"server: a:1\ntls_ca: 7\n", "config.yaml:2: tls_ca: must be text"},
      {"context: lab\n", "contexts: must be a map"},
      {"context: lab\ncontexts: {den: {server: a:1}}\n",
       "there is no \"lab\""},
      {"context: lab\ncontexts:\n  lab:\n    sever: a:1\n",
       "config.yaml:4: contexts.lab.sever: unknown field; did you mean"},
  };
  for (const auto& [text, error] : kRows) {
    WriteConfig(text);
    EXPECT_THAT(std::string(Read().status().message()), HasSubstr(error));
  }
}

TEST_F(SettingsTest, ContextsHoldServersByName) {
  WriteConfig(
      "context: lab\n"
      "contexts:\n"
      "  lab: {server: 'lab:1', tls_ca: ca.crt, token_file: token}\n"
      "  den: {server: 'den:2'}\n");
  EXPECT_EQ(Server(), "lab:1");
  EXPECT_EQ(Read()->security.tls_ca, File("ca.crt"));
  EXPECT_EQ(Read()->security.token_file, File("token"));
  EXPECT_EQ(Read("", "den")->server, "den:2");
  EXPECT_EQ(Read("", "den")->security.tls_ca, "");
  environment_["TRAINYARD_CONTEXT"] = "den";
  EXPECT_EQ(Server(), "den:2");
  EXPECT_TRUE(absl::IsNotFound(Read("", "attic").status()));
}

TEST_F(SettingsTest, ATokenIsForTheServerItWasConfiguredFor) {
  WriteConfig("server: lab:1\ntls_ca: ca.crt\ntoken_file: token\n");
  EXPECT_EQ(Read()->security.token_file, File("token"));
  EXPECT_EQ(Read("lab:1")->security.token_file, File("token"));
  EXPECT_EQ(Read("den:2")->security.token_file, "");
  EXPECT_EQ(Read("den:2")->security.tls_ca, "");
}

TEST_F(SettingsTest, EnvironmentHasTlsAndToken) {
  environment_["TRAINYARD_SERVER"] = "lab:1";
  environment_["TRAINYARD_TLS_CA"] = File("ca.crt");
  environment_["TRAINYARD_TLS_CERT"] = File("ca.crt");
  environment_["TRAINYARD_TLS_KEY"] = File("x.key");
  environment_["TRAINYARD_TOKEN"] = "ty_a_b";
  const auto settings = Read();
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->security.tls_key, File("x.key"));
  EXPECT_EQ(settings->security.token, "ty_a_b");
}

TEST_F(SettingsTest, NoTokenInPlainTextToAnotherMachine) {
  environment_["TRAINYARD_TOKEN"] = "ty_a_b";
  const auto settings = Read("lab:1");
  EXPECT_TRUE(absl::IsInvalidArgument(settings.status()));
  EXPECT_THAT(std::string(settings.status().message()),
              HasSubstr("plain text"));
  EXPECT_TRUE(Read("127.0.0.1:1").ok());
}

}  // namespace
}  // namespace trainyard::trainctl
