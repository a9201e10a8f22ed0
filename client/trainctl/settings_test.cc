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
  }
  ~SettingsTest() override { std::filesystem::remove_all(home_); }

  void WriteConfig(const std::string& text) {
    std::ofstream(home_ / ".config/trainyard/config.yaml") << text;
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
  EXPECT_EQ(*ServerAddress(console_, ""), "127.0.0.1:7070");
  WriteConfig("server: file:1\n");
  EXPECT_EQ(*ServerAddress(console_, ""), "file:1");
  environment_["TRAINYARD_SERVER"] = "env:2";
  EXPECT_EQ(*ServerAddress(console_, ""), "env:2");
  EXPECT_EQ(*ServerAddress(console_, "flag:3"), "flag:3");
}

TEST_F(SettingsTest, AChosenConfigFileMustBeThere) {
  environment_["TRAINYARD_CONFIG"] = (home_ / "none.yaml").string();
  const auto address = ServerAddress(console_, "");
  EXPECT_TRUE(absl::IsNotFound(address.status())) << address.status();
  EXPECT_THAT(std::string(address.status().message()), HasSubstr("none.yaml"));
}

TEST_F(SettingsTest, RefusesWhatIsNoAddress) {
  for (const char* bad :
       {"host", ":7070", "host:", "host:0", "host:70000", "host:x", "a b:1"}) {
    const auto address = ServerAddress(console_, bad);
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << bad;
    EXPECT_THAT(std::string(address.status().message()),
                HasSubstr("must be host:port"));
  }
  EXPECT_EQ(*ServerAddress(console_, "[::1]:7070"), "[::1]:7070");
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
  };
  for (const auto& [text, error] : kRows) {
    WriteConfig(text);
    EXPECT_THAT(std::string(ServerAddress(console_, "").status().message()),
                HasSubstr(error));
  }
}

}  // namespace
}  // namespace trainyard::trainctl
