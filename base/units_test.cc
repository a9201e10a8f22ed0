#include "base/units.h"

#include "gtest/gtest.h"

namespace trainyard {
namespace {

TEST(ParseBytes, ReadsNumbersWithAndWithoutUnits) {
  EXPECT_EQ(*ParseBytes("512"), 512u);
  EXPECT_EQ(*ParseBytes("8GiB"), 8ull << 30);
  EXPECT_EQ(*ParseBytes(" 1.5 GB "), 1500000000u);
}

TEST(ParseBytes, NamesTheTextItCannotRead) {
  for (const char* bad : {"", "-1", "1e400", "nan", "8 GiBs", "GiB", "99999999999TiB"}) {
    const auto parsed = ParseBytes(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_NE(parsed.status().message().find(bad), absl::string_view::npos);
  }
}

TEST(FormatBytes, PicksTheLargestUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(3ull << 30), "3.0 GiB");
}

}  // namespace
}  // namespace trainyard
