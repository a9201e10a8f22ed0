#include "server/auth/authority.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/fake_token_store.h"

namespace trainyard::auth {
namespace {

using testing::HasSubstr;
using testing::Not;

class AuthorityTest : public testing::Test {
 protected:
  AuthorityTest() { Reload(Mode::kAuto); }

  void Reload(Mode mode) {
    options_.mode = mode;
    authority_ = *Authority::Load(options_, &store_, &clock_);
  }
  // The token's text.
  NewTokenResult Make(Role role,
                      absl::Duration lifetime = absl::InfiniteDuration()) {
    TokenRequest request;
    request.role = role;
    request.worker = role == Role::kWorker ? "mini" : "";
    request.lifetime = lifetime;
    auto made = authority_->Create(Caller(), request);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  NewTokenResult MakeJoin(uint32_t uses, const std::string& worker = "") {
    TokenRequest request;
    request.role = Role::kWorker;
    request.join = true;
    request.uses = uses;
    request.worker = worker;
    request.lifetime = absl::Hours(1);
    auto made = authority_->Create(Caller(), request);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  absl::StatusOr<Caller> Identify(const std::string& text) {
    return authority_->Identify("Bearer " + text);
  }
  std::string Refused(const std::string& text) {
    const auto caller = Identify(text);
    EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated);
    return std::string(caller.status().message());
  }
  std::string Wrong(const TokenRequest& request) {
    const auto made = authority_->Create(Caller(), request);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(made.status().message());
  }

  ManualClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  FakeTokenStore store_;
  AuthorityOptions options_;
  std::unique_ptr<Authority> authority_;
};

TEST_F(AuthorityTest, IsOpenUntilThereIsAToken) {
  EXPECT_FALSE(authority_->enabled());
  EXPECT_EQ(authority_->Identify("")->role, Role::kAdmin);
  Make(Role::kAdmin);
  EXPECT_TRUE(authority_->enabled());
  EXPECT_FALSE(authority_->Identify("").ok());
  Reload(Mode::kOff);
  EXPECT_TRUE(authority_->Identify("").ok());
  Reload(Mode::kOn);
  EXPECT_FALSE(authority_->Identify("").ok());
}

TEST_F(AuthorityTest, OnNeedsATokenEvenWhereThereIsNone) {
  Reload(Mode::kOn);
  EXPECT_THAT(std::string(authority_->Identify("").status().message()),
              HasSubstr("no token was sent"));
}

TEST_F(AuthorityTest, KnowsATokenAgainAfterARestart) {
  const NewTokenResult admin = Make(Role::kAdmin);
  Reload(Mode::kAuto);
  const auto caller = Identify(admin.text);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->token_id, admin.token.id);
  EXPECT_EQ(caller->role, Role::kAdmin);
}

TEST_F(AuthorityTest, TheStoreNeverHasTheSecret) {
  const NewTokenResult admin = Make(Role::kAdmin);
  const std::string secret = ParseToken(admin.text)->secret;
  const std::vector<Token> stored = *store_.Load();
  ASSERT_EQ(stored.size(), 1u);
  for (const Token& token : stored) {
    EXPECT_THAT(token.secret_hash, Not(HasSubstr(secret)));
    EXPECT_EQ(token.secret_hash, HashSecret(secret));
  }
}

TEST_F(AuthorityTest, SaysOnlyToTheOwnerWhyATokenIsNoGood) {
  const NewTokenResult admin = Make(Role::kAdmin);
  const NewTokenResult viewer = Make(Role::kViewer, absl::Minutes(5));
  const std::string other =
      "ty_" + viewer.token.id + "_" + NewToken(false).secret;
  EXPECT_THAT(Refused(other), HasSubstr("is not known"));
  clock_.Advance(absl::Minutes(5));
  EXPECT_THAT(Refused(viewer.text), HasSubstr("expired at 2023-11-14T22:18"));
  EXPECT_THAT(Refused(other), HasSubstr("is not known"));
  EXPECT_THAT(Refused(NewToken(false).ToString()), HasSubstr("is not known"));
  EXPECT_THAT(Refused(std::string(100000, 'a')), HasSubstr("must be"));
  EXPECT_TRUE(Identify(admin.text).ok());
  EXPECT_FALSE(authority_->Identify(admin.text).ok());  // without "Bearer "
}

TEST_F(AuthorityTest, ARevokedTokenIsNoGoodAtOnce) {
  Make(Role::kAdmin);
  const NewTokenResult viewer = Make(Role::kViewer);
  const Caller caller = *Identify(viewer.text);
  EXPECT_TRUE(authority_->StillGood(caller).ok());
  ASSERT_TRUE(authority_->Revoke(Caller(), viewer.token.id).ok());
  EXPECT_THAT(Refused(viewer.text), HasSubstr("was revoked"));
  EXPECT_FALSE(authority_->StillGood(caller).ok());
  Reload(Mode::kAuto);
  EXPECT_THAT(Refused(viewer.text), HasSubstr("was revoked"));
  EXPECT_TRUE(authority_->Revoke(Caller(), viewer.token.id).ok());
  EXPECT_EQ(authority_->Revoke(Caller(), "nobody").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(AuthorityTest, NobodyLocksEveryoneOut) {
  TokenRequest request;
  request.role = Role::kViewer;
  request.lifetime = absl::InfiniteDuration();
  EXPECT_EQ(authority_->Create(Caller(), request).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const NewTokenResult admin = Make(Role::kAdmin);
  EXPECT_EQ(authority_->Revoke(Caller(), admin.token.id).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Make(Role::kAdmin);
  EXPECT_TRUE(authority_->Revoke(Caller(), admin.token.id).ok());
}

TEST_F(AuthorityTest, WhatCannotBeWrittenIsNotMade) {
  store_.fault = absl::ResourceExhaustedError("disk full");
  TokenRequest request;
  request.role = Role::kAdmin;
  request.lifetime = absl::InfiniteDuration();
  EXPECT_EQ(authority_->Create(Caller(), request).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(authority_->enabled());
}

TEST_F(AuthorityTest, NamesTheFieldThatIsWrong) {
  TokenRequest request;
  request.lifetime = absl::Hours(1);
  request.role = Role::kWorker;
  EXPECT_THAT(Wrong(request), HasSubstr("worker: not set"));
  request.worker = "Mini!";
  EXPECT_THAT(Wrong(request), HasSubstr("worker: \"Mini!\""));
  request = {};
  EXPECT_THAT(Wrong(request), HasSubstr("lifetime"));
  request.lifetime = absl::Hours(1);
  request.join = true;
  EXPECT_THAT(Wrong(request), HasSubstr("join: is for role worker only"));
  request.role = Role::kWorker;
  request.uses = 0;
  EXPECT_THAT(Wrong(request), HasSubstr("uses: 0"));
  request.uses = 1;
  request.lifetime = absl::InfiniteDuration();
  EXPECT_THAT(Wrong(request), HasSubstr("at most 168h for a join token"));
  request.display_name = std::string(256, 'a');
  EXPECT_THAT(Wrong(request), HasSubstr("display_name"));
  request.display_name = "a\nb";
  EXPECT_THAT(Wrong(request), HasSubstr("display_name"));
}

TEST_F(AuthorityTest, AWorkerJoinsOnceAndIsThatWorkerFromThenOn) {
  Make(Role::kAdmin);
  const NewTokenResult join = MakeJoin(1);
  const Caller by = *Identify(join.text);
  EXPECT_TRUE(by.join);
  const TokenText own = NewToken(false);
  const std::string hash = HashSecret(own.secret);
  const auto joined = authority_->Join(by, "mini", hash);
  ASSERT_TRUE(joined.ok()) << joined.status();
  const auto caller = Identify("ty_" + joined->id + "_" + own.secret);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->role, Role::kWorker);
  EXPECT_EQ(caller->worker, "mini");
  EXPECT_FALSE(caller->join);
  // The reply was lost: the same again, for nothing.
  EXPECT_EQ(authority_->Join(by, "mini", hash)->id, joined->id);
  // A second worker finds the token used up.
  const auto second = authority_->Join(by, "maxi", HashSecret("x"));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("used up"));
}

TEST_F(AuthorityTest, NoWorkerTakesTheNameOfAnother) {
  Make(Role::kAdmin);
  const Caller by = *Identify(MakeJoin(5).text);
  ASSERT_TRUE(authority_->Join(by, "mini", HashSecret("a")).ok());
  const auto taken = authority_->Join(by, "mini", HashSecret("b"));
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  // But with a join token for that very worker it is made anew.
  const Caller named = *Identify(MakeJoin(1, "mini").text);
  EXPECT_TRUE(authority_->Join(named, "mini", HashSecret("b")).ok());
  EXPECT_EQ(authority_->Join(named, "maxi", HashSecret("c")).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(AuthorityTest, JoinChecksWhatItGets) {
  Make(Role::kAdmin);
  const Caller by = *Identify(MakeJoin(5).text);
  EXPECT_FALSE(authority_->Join(by, "Mini!", HashSecret("a")).ok());
  EXPECT_FALSE(authority_->Join(by, "mini", "geheim").ok());
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(authority_->Join(by, "mini", HashSecret("a")).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(AuthorityTest, TakesTheFirstAdminFromAFile) {
  const TokenText token = NewToken(false);
  const std::string line = token.id + " " + HashSecret(token.secret) + "\n";
  ASSERT_TRUE(authority_->Bootstrap(line).ok());
  EXPECT_EQ(Identify(token.ToString())->role, Role::kAdmin);
  Make(Role::kAdmin);
  ASSERT_TRUE(authority_->Revoke(Caller(), token.id).ok());
  // It does not come back with the next start.
  ASSERT_TRUE(authority_->Bootstrap(line).ok());
  EXPECT_THAT(Refused(token.ToString()), HasSubstr("was revoked"));
  for (const char* bad : {"", "a b", "a", "a b c"}) {
    EXPECT_EQ(authority_->Bootstrap(bad).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(AuthorityTest, EndedTokensLeaveAndTheirNumberIsBounded) {
  options_.max_tokens = 3;
  Reload(Mode::kAuto);
  Make(Role::kAdmin);
  Make(Role::kViewer, absl::Hours(1));
  Make(Role::kViewer);
  TokenRequest request;
  request.lifetime = absl::Hours(1);
  EXPECT_EQ(authority_->Create(Caller(), request).status().code(),
            absl::StatusCode::kResourceExhausted);
  clock_.Advance(absl::Hours(24 * 31));
  EXPECT_TRUE(authority_->Create(Caller(), request).ok());
  EXPECT_EQ(authority_->List("", 10).size(), 3u);
  EXPECT_EQ(store_.Load()->size(), 3u);
}

TEST_F(AuthorityTest, ListsInPages) {
  for (int i = 0; i < 5; ++i) Make(Role::kAdmin);
  const auto first = authority_->List("", 3);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(authority_->List(first.back().id, 3).size(), 2u);
}

}  // namespace
}  // namespace trainyard::auth
