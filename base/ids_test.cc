#include "base/ids.h"

#include <type_traits>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"

namespace trainyard {
namespace {

struct ATag {};
struct BTag {};
using AId = NumberId<ATag>;
using BId = NumberId<BTag>;

TEST(NumberId, IdsOfDifferentKindsDoNotConvert) {
  EXPECT_FALSE((std::is_convertible_v<AId, BId>));
  EXPECT_FALSE((std::is_convertible_v<uint64_t, AId>));
}

TEST(NumberId, OrdersAndHashesByValue) {
  EXPECT_LT(AId(1), AId(2));
  EXPECT_EQ(absl::flat_hash_set<AId>({AId(1), AId(1), AId(2)}).size(), 2u);
}

}  // namespace
}  // namespace trainyard
