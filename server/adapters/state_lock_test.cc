#include "server/adapters/state_lock.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/adapters/temp_folder.h"

namespace trainyard::adapters {
namespace {

TEST(StateLock, RefusesASecondServerAndNamesTheFirst) {
  TempFolder folder;
  const auto first = StateLock::Take(folder.path());
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = StateLock::Take(folder.path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(second.status().message()),
      testing::AllOf(testing::HasSubstr(folder.path()),
                     testing::HasSubstr(absl::StrCat("process ", getpid()))));
}

TEST(StateLock, IsFreeOnceTheFirstIsGone) {
  TempFolder folder;
  { ASSERT_TRUE(StateLock::Take(folder.path()).ok()); }
  EXPECT_TRUE(StateLock::Take(folder.path()).ok());
}

}  // namespace
}  // namespace trainyard::adapters
