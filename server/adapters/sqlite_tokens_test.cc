#include "server/adapters/sqlite_tokens.h"

#include "gtest/gtest.h"
#include "server/adapters/temp_folder.h"

namespace trainyard::adapters {
namespace {

auth::Token Sample(const std::string& id) {
  auth::Token token;
  token.id = id;
  token.secret_hash = std::string(64, 'a');
  token.role = auth::Role::kWorker;
  token.display_name = "a name";
  token.worker = "mini";
  token.join = true;
  token.uses_left = 3;
  token.creator = "root";
  token.create_time = absl::FromUnixSeconds(100);
  token.expire_time = absl::FromUnixSeconds(200);
  return token;
}

TEST(SqliteTokens, KeepsEveryFieldOverARestart) {
  const TempFolder folder;
  const std::string path = folder.path() + "/tokens.db";
  {
    auto store = SqliteTokens::Open(path);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Put({Sample("a"), Sample("b")}).ok());
    auth::Token changed = Sample("b");
    changed.revoke_time = absl::FromUnixSeconds(150);
    ASSERT_TRUE((*store)->Put({changed}).ok());
  }
  auto store = SqliteTokens::Open(path);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto loaded = (*store)->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), 2u);
  const auth::Token& a = (*loaded)[0];
  const auth::Token sample = Sample("a");
  EXPECT_EQ(a.id, sample.id);
  EXPECT_EQ(a.secret_hash, sample.secret_hash);
  EXPECT_EQ(a.role, sample.role);
  EXPECT_EQ(a.display_name, sample.display_name);
  EXPECT_EQ(a.worker, sample.worker);
  EXPECT_EQ(a.join, sample.join);
  EXPECT_EQ(a.uses_left, sample.uses_left);
  EXPECT_EQ(a.creator, sample.creator);
  EXPECT_EQ(a.create_time, sample.create_time);
  EXPECT_EQ(a.expire_time, sample.expire_time);
  EXPECT_EQ(a.revoke_time, absl::InfiniteFuture());
  EXPECT_EQ((*loaded)[1].revoke_time, absl::FromUnixSeconds(150));
  ASSERT_TRUE((*store)->Remove({"a", "none"}).ok());
  EXPECT_EQ((*store)->Load()->size(), 1u);
}

TEST(SqliteTokens, AnUnknownRoleIsNoGuess) {
  const TempFolder folder;
  const std::string path = folder.path() + "/tokens.db";
  auto store = SqliteTokens::Open(path);
  ASSERT_TRUE((*store)->Put({Sample("a")}).ok());
  auto db = Database::Open(path, {});
  ASSERT_TRUE((*db)->Execute("UPDATE tokens SET role=9").ok());
  EXPECT_EQ((*store)->Load().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace trainyard::adapters
