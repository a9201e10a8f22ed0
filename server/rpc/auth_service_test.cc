#include "server/rpc/auth_service.h"

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/token.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/auth/roles.h"
#include "server/rpc/test_server.h"
#include "trainyard/v1/artifact_service.pb.h"
#include "trainyard/v1/auth_service.grpc.pb.h"
#include "trainyard/v1/queue_service.pb.h"

namespace trainyard::rpc {
namespace {

using testing::HasSubstr;

// Every method of every service of the API, with its full name.
std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const google::protobuf::FileDescriptor* file :
       {v1::SubmitJobRequest::descriptor()->file(),
        v1::GetServerRequest::descriptor()->file(),
        v1::GetQueueRequest::descriptor()->file(),
        v1::StatArtifactRequest::descriptor()->file(),
        v1::SynchronizeRequest::descriptor()->file(),
        v1::WhoAmIRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

std::string ShortName(const google::protobuf::MethodDescriptor* method) {
  return absl::StrCat(method->service()->name(), "/", method->name());
}

class AuthServiceTest : public ServerTest {
 protected:
  AuthServiceTest() {
    authority_options_.mode = auth::Mode::kOn;
    Restart();
    channel_ = grpc::CreateChannel(server_->address(),
                                   grpc::InsecureChannelCredentials());
    auth_ = v1::AuthService::NewStub(channel_);
    auth::TokenRequest admin;
    admin.role = auth::Role::kAdmin;
    admin.lifetime = absl::InfiniteDuration();
    admin_ = authority_->Create({}, admin)->text;
  }

  static std::unique_ptr<grpc::ClientContext> With(const std::string& token) {
    auto context = TestContext();
    if (!token.empty()) {
      context->AddMetadata("authorization", "Bearer " + token);
    }
    return context;
  }

  v1::CreateTokenResponse Create(v1::Role role, const std::string& worker = "",
                                 bool join = false) {
    v1::CreateTokenRequest request;
    request.set_role(role);
    request.set_worker(worker);
    request.set_join(join);
    v1::CreateTokenResponse response;
    const auto status =
        auth_->CreateToken(With(admin_).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // The call with an empty request: its status, or that of what it reads.
  grpc::Status CallEmpty(const std::string& method, const std::string& token) {
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    const auto context = With(token);
    auto call = stub.PrepareCall(context.get(), method, &queue);
    const auto next = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      EXPECT_TRUE(queue.Next(&tag, &ok));
      return ok;
    };
    call->StartCall(nullptr);
    next();
    const grpc::Slice nothing;
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(),
                    nullptr);
    next();
    grpc::ByteBuffer ignored;
    do {
      call->Read(&ignored, nullptr);
    } while (next() && (context->TryCancel(), true));
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    return status;
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AuthService::Stub> auth_;
  std::string admin_;
};

TEST(Rights, EveryMethodOfTheApiHasARowAndEveryRowAMethod) {
  std::vector<std::string> methods;
  for (const auto* method : AllMethods()) methods.push_back(ShortName(method));
  std::vector<std::string> rows;
  for (const auth::Right& right : auth::Rights()) {
    rows.emplace_back(right.method);
  }
  EXPECT_THAT(rows, testing::UnorderedElementsAreArray(methods));
}

TEST(Rights, RolesHaveTheNumbersOfTheApi) {
  for (const auth::Role role : {auth::Role::kViewer, auth::Role::kSubmitter,
                                auth::Role::kAdmin, auth::Role::kWorker}) {
    EXPECT_EQ(v1::Role_Name(static_cast<v1::Role>(role)),
              "ROLE_" + absl::AsciiStrToUpper(std::string(auth::NameOf(role))));
  }
}

TEST_F(AuthServiceTest, AJobCountsForItsCaller) {
  const auto submit = [&](const std::string& token, const std::string& user,
                          v1::Job* job) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = TestSpec();
    request.mutable_spec()->set_user(user);
    v1::SubmitJobResponse response;
    const grpc::Status status =
        jobs_->SubmitJob(With(token).get(), request, &response);
    *job = response.job();
    return status;
  };
  const v1::CreateTokenResponse ada = Create(v1::ROLE_SUBMITTER);
  const std::string id =
      ada.token().name().substr(std::string("tokens/").size());
  v1::Job job;
  ASSERT_TRUE(submit(ada.text(), "", &job).ok());
  EXPECT_EQ(job.spec().user(), id);
  ASSERT_TRUE(submit(ada.text(), id, &job).ok());
  const grpc::Status denied = submit(ada.text(), "bob", &job);
  EXPECT_EQ(denied.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(denied.error_message(), HasSubstr("user: \"bob\": must be"));
  ASSERT_TRUE(submit(admin_, "bob", &job).ok());
  EXPECT_EQ(job.spec().user(), "bob");
}

TEST_F(AuthServiceTest, NoMethodAnswersWithoutAToken) {
  for (const auto* method : AllMethods()) {
    const std::string path =
        absl::StrCat("/", method->service()->full_name(), "/", method->name());
    for (const std::string& token :
         {std::string(), NewToken(false).ToString(), std::string("x")}) {
      const grpc::Status status = CallEmpty(path, token);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
          << path << ": " << status.error_message();
    }
  }
}

TEST_F(AuthServiceTest, EachRoleMayWhatTheTableSays) {
  const struct {
    auth::Caller caller;
    std::string token;
  } kRoles[] = {
      {{"x", auth::Role::kViewer, "", false}, Create(v1::ROLE_VIEWER).text()},
      {{"x", auth::Role::kSubmitter, "", false},
       Create(v1::ROLE_SUBMITTER).text()},
      {{"x", auth::Role::kAdmin, "", false}, admin_},
      {{"x", auth::Role::kWorker, "mini", false},
       Create(v1::ROLE_WORKER, "mini").text()},
      {{"x", auth::Role::kWorker, "", true},
       Create(v1::ROLE_WORKER, "", true).text()},
  };
  for (const auto& [caller, token] : kRoles) {
    for (const auto* method : AllMethods()) {
      const grpc::Status status =
          CallEmpty(absl::StrCat("/", method->service()->full_name(), "/",
                                 method->name()),
                    token);
      const bool may = auth::CheckRight(caller, ShortName(method)).ok();
      EXPECT_EQ(status.error_message().find(" needs ") == std::string::npos,
                may)
          << ShortName(method) << " as " << auth::NameOf(caller.role) << ": "
          << status.error_message();
      if (!may) {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
      }
      EXPECT_NE(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    }
  }
}

TEST_F(AuthServiceTest, CreatesListsAndRevokes) {
  const v1::CreateTokenResponse made = Create(v1::ROLE_VIEWER);
  EXPECT_EQ(made.token().role(), v1::ROLE_VIEWER);
  EXPECT_FALSE(made.token().has_expire_time());
  v1::ListTokensRequest list;
  list.set_page_size(1);
  v1::ListTokensResponse page;
  ASSERT_TRUE(auth_->ListTokens(With(admin_).get(), list, &page).ok());
  EXPECT_EQ(page.tokens_size(), 1);
  list.set_page_token(page.next_page_token());
  ASSERT_TRUE(auth_->ListTokens(With(admin_).get(), list, &page).ok());
  EXPECT_EQ(page.tokens_size(), 1);
  EXPECT_EQ(page.next_page_token(), "");

  v1::WhoAmIResponse me;
  ASSERT_TRUE(auth_->WhoAmI(With(made.text()).get(), {}, &me).ok());
  EXPECT_EQ(me.token().name(), made.token().name());

  v1::RevokeTokenRequest revoke;
  revoke.set_name(made.token().name());
  v1::RevokeTokenResponse revoked;
  ASSERT_TRUE(auth_->RevokeToken(With(admin_).get(), revoke, &revoked).ok());
  EXPECT_TRUE(revoked.token().has_revoke_time());
  const auto status = auth_->WhoAmI(With(made.text()).get(), {}, &me);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("was revoked"));
}

TEST_F(AuthServiceTest, AStreamEndsWithItsToken) {
  const v1::CreateTokenResponse made = Create(v1::ROLE_VIEWER);
  const auto context = With(made.text());
  const auto reader = jobs_->WatchJobs(context.get(), {});
  v1::WatchJobsResponse response;
  ASSERT_TRUE(reader->Read(&response));  // it stands
  const std::string id = ParseToken(made.text())->id;
  ASSERT_TRUE(authority_->Revoke({}, id).ok());
  while (reader->Read(&response)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("was revoked"));
}

TEST_F(AuthServiceTest, AWorkersTokenIsForThatWorkerOnly) {
  const std::string token = Create(v1::ROLE_WORKER, "mini").text();
  const auto say = [&](const std::string& name) {
    const auto context = With(token);
    const auto stream = workers_->Synchronize(context.get());
    v1::SynchronizeRequest report;
    report.set_worker(name);
    report.set_instance_id("one");
    report.set_version("1");
    report.set_platform("linux");
    stream->Write(report);
    v1::SynchronizeResponse desired;
    if (stream->Read(&desired)) return std::string("taken");
    return stream->Finish().error_message();
  };
  EXPECT_EQ(say("mini"), "taken");
  EXPECT_THAT(say("maxi"), HasSubstr("is for worker \"mini\""));

  const auto context = With(token);
  const auto stream = workers_->ReportTelemetry(context.get());
  v1::ReportTelemetryRequest report;
  report.set_worker("maxi");
  stream->Write(report);
  v1::ReportTelemetryResponse acks;
  EXPECT_FALSE(stream->Read(&acks));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AuthServiceTest, AWorkerJoins) {
  const std::string join = Create(v1::ROLE_WORKER, "", true).text();
  const TokenText own = NewToken(false);
  v1::JoinWorkerRequest request;
  request.set_worker("mini");
  request.set_secret_hash(HashSecret(own.secret));
  v1::JoinWorkerResponse response;
  const auto status = auth_->JoinWorker(With(join).get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.token().worker(), "mini");
  const std::string id = response.token().name().substr(strlen("tokens/"));
  v1::WhoAmIResponse me;
  EXPECT_TRUE(
      auth_->WhoAmI(With("ty_" + id + "_" + own.secret).get(), {}, &me).ok());
  EXPECT_FALSE(me.token().join());
}

}  // namespace
}  // namespace trainyard::rpc
