#include "base/token.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard {
namespace {

TEST(Token, IsReadAsItWasWritten) {
  for (const bool join : {false, true}) {
    const TokenText token = NewToken(join);
    const auto read = ParseToken(token.ToString());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->id, token.id);
    EXPECT_EQ(read->secret, token.secret);
    EXPECT_EQ(read->join, join);
  }
}

TEST(Token, NoTwoAreTheSame) {
  std::set<std::string> ids;
  std::set<std::string> secrets;
  for (int i = 0; i < 1000; ++i) {
    const TokenText token = NewToken(false);
    ids.insert(token.id);
    secrets.insert(token.secret);
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(secrets.size(), 1000u);
}

TEST(Token, WhatIsNoneIsRefusedWithoutRepeatingIt) {
  const TokenText token = NewToken(false);
  for (const std::string& bad :
       {std::string(), std::string("ty_"), token.id, "ty_" + token.id,
        "ty_" + token.id + "_", "tz_" + token.id + "_" + token.secret,
        token.ToString() + "a", token.ToString() + "\n",
        "ty_" + token.id + "_" + token.secret.substr(1) + "1",
        std::string(100000, 'a')}) {
    const auto read = ParseToken(bad);
    ASSERT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(read.status().message()),
                testing::Not(testing::HasSubstr(token.secret.substr(1))));
  }
}

TEST(Token, HashIsSha256) {
  EXPECT_EQ(HashSecret("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(IsSecretHash(HashSecret("")));
  EXPECT_TRUE(SameHash(HashSecret("a"), HashSecret("a")));
  EXPECT_FALSE(SameHash(HashSecret("a"), HashSecret("b")));
  EXPECT_FALSE(SameHash("a", "ab"));
}

}  // namespace
}  // namespace trainyard
