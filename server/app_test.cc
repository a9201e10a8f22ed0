#include "server/app.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/adapters/temp_folder.h"

namespace trainyard {
namespace {

using testing::HasSubstr;

class AppTest : public testing::Test {
 protected:
  ServerFlags Flags(const std::string& name = "state") const {
    ServerFlags flags;
    flags.listen = "127.0.0.1:0";
    flags.metrics_address = "off";
    flags.state_dir = folder_.path() + "/" + name;
    return flags;
  }

  adapters::TempFolder folder_;
};

TEST_F(AppTest, StartsStopsAndStartsAgainInANewFolder) {
  for (int i = 0; i < 2; ++i) {
    const auto app = App::Start(Flags("not/yet/there"));
    ASSERT_TRUE(app.ok()) << app.status();
    EXPECT_THAT((*app)->address(), HasSubstr("127.0.0.1:"));
    (*app)->Stop();
    (*app)->Stop();
  }
}

TEST_F(AppTest, RefusesAStateFolderInUse) {
  const auto first = App::Start(Flags());
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = App::Start(Flags());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(Flags().state_dir));
}

TEST_F(AppTest, RefusesAnAddressInUse) {
  const auto first = App::Start(Flags());
  ASSERT_TRUE(first.ok()) << first.status();
  ServerFlags flags = Flags("other");
  flags.listen = (*first)->address();
  const auto second = App::Start(flags);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr((*first)->address()));
}

TEST_F(AppTest, RefusesAFolderItCannotMake) {
  ServerFlags flags = Flags();
  flags.state_dir = "/proc/trainyard";
  EXPECT_FALSE(App::Start(flags).ok());
}

}  // namespace
}  // namespace trainyard
