#include "server/auth/roles.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::auth {
namespace {

Caller As(Role role) { return {"id", role, "", false}; }

bool May(const Caller& caller, const char* method) {
  return CheckRight(caller, method).ok();
}

TEST(Roles, EachIncludesTheOneBelow) {
  const struct {
    const char* method;
    bool viewer, submitter, admin, worker;
  } kRows[] = {
      {"JobService/GetJob", true, true, true, false},
      {"JobService/SubmitJob", false, true, true, false},
      {"FleetService/DrainWorker", false, false, true, false},
      {"QueueService/GetQueue", true, true, true, false},
      {"QueueService/SetQueue", false, false, true, false},
      {"AuthService/CreateToken", false, false, true, false},
      {"WorkerService/Synchronize", false, false, false, true},
      {"ArtifactService/UploadArtifact", false, true, true, true},
      {"ArtifactService/DownloadArtifact", true, true, true, true},
      {"AuthService/WhoAmI", true, true, true, true},
      {"AuthService/JoinWorker", false, false, false, false},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(May(As(Role::kViewer), row.method), row.viewer) << row.method;
    EXPECT_EQ(May(As(Role::kSubmitter), row.method), row.submitter)
        << row.method;
    EXPECT_EQ(May(As(Role::kAdmin), row.method), row.admin) << row.method;
    EXPECT_EQ(May(As(Role::kWorker), row.method), row.worker) << row.method;
  }
}

TEST(Roles, AJoinTokenIsGoodForJoiningOnly) {
  const Caller join = {"id", Role::kWorker, "", true};
  for (const Right& right : Rights()) {
    EXPECT_EQ(
        CheckRight(join, right.method).ok(),
        right.needs == Needs::kJoinToken || right.needs == Needs::kAnyToken)
        << right.method;
  }
}

TEST(Roles, WhatIsNotInTheTableIsDeniedToAll) {
  for (const Role role :
       {Role::kViewer, Role::kSubmitter, Role::kAdmin, Role::kWorker}) {
    EXPECT_FALSE(May(As(role), "JobService/DeleteAll"));
  }
  EXPECT_FALSE(
      May(Caller{"", Role::kAdmin, "", false}, "JobService/DeleteAll"));
}

TEST(Roles, NoMethodIsThereTwice) {
  std::set<std::string> seen;
  for (const Right& right : Rights()) {
    EXPECT_TRUE(seen.insert(std::string(right.method)).second) << right.method;
  }
}

TEST(Roles, DenialNamesWhatIsNeededAndWhatIsThere) {
  const absl::Status denied =
      CheckRight(As(Role::kViewer), "JobService/SubmitJob");
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.message(),
            "JobService/SubmitJob needs the role submitter or admin; token id "
            "has the role viewer");
}

}  // namespace
}  // namespace trainyard::auth
