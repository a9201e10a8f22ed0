#include "server/rpc/auth_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/token.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/validate.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kPageSize = 100;
constexpr absl::Duration kJoinLifetime = absl::Hours(1);
constexpr int64_t kMaxSeconds = int64_t{100} * 366 * 24 * 3600;

std::string TokenName(const std::string& id) {
  return id.empty() ? "" : absl::StrCat("tokens/", id);
}

v1::Token ToProto(const auth::Token& token) {
  v1::Token proto;
  proto.set_name(TokenName(token.id));
  // The numbers are the same; a test compares the names.
  proto.set_role(static_cast<v1::Role>(token.role));
  proto.set_display_name(token.display_name);
  proto.set_worker(token.worker);
  proto.set_join(token.join);
  proto.set_uses_left(token.uses_left);
  proto.set_creator(TokenName(token.creator));
  *proto.mutable_create_time() = rpc::ToProto(token.create_time);
  if (token.expire_time < absl::InfiniteFuture()) {
    *proto.mutable_expire_time() = rpc::ToProto(token.expire_time);
  }
  if (token.revoke_time < absl::InfiniteFuture()) {
    *proto.mutable_revoke_time() = rpc::ToProto(token.revoke_time);
  }
  return proto;
}

absl::StatusOr<std::string> ParseTokenName(absl::string_view field,
                                           absl::string_view name) {
  absl::string_view id = name;
  if (absl::ConsumePrefix(&id, "tokens/") && IsTokenId(id)) {
    return std::string(id);
  }
  return WrongValue(field, Quoted(name),
                    "\"tokens/\" and an id of 12 letters and digits");
}

absl::StatusOr<auth::TokenRequest> FromProto(
    const v1::CreateTokenRequest& proto) {
  auth::TokenRequest request;
  switch (proto.role()) {
    case v1::ROLE_VIEWER:
    case v1::ROLE_SUBMITTER:
    case v1::ROLE_ADMIN:
    case v1::ROLE_WORKER:
      request.role = static_cast<auth::Role>(proto.role());
      break;
    default:
      return WrongValue("role", absl::StrCat(static_cast<int>(proto.role())),
                        "viewer, submitter, admin or worker");
  }
  request.display_name = proto.display_name();
  request.worker = proto.worker();
  request.join = proto.join();
  request.uses = proto.uses() == 0 ? 1 : proto.uses();
  if (proto.has_lifetime()) {
    const auto& lifetime = proto.lifetime();
    if (lifetime.seconds() < 0 || lifetime.seconds() > kMaxSeconds ||
        lifetime.nanos() < 0 || lifetime.nanos() > 999'999'999) {
      return WrongValue("lifetime", absl::StrCat(lifetime.seconds(), " s"),
                        "0 to a hundred years");
    }
    request.lifetime =
        absl::Seconds(lifetime.seconds()) + absl::Nanoseconds(lifetime.nanos());
  } else {
    request.lifetime = request.join ? kJoinLifetime : absl::InfiniteDuration();
  }
  return request;
}

}  // namespace

grpc::ServerUnaryReactor* AuthService::CreateToken(
    grpc::CallbackServerContext* context, const v1::CreateTokenRequest* request,
    v1::CreateTokenResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "AuthService/CreateToken",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        call.RunBlocking([this, request, response, caller]() -> absl::Status {
          ASSIGN_OR_RETURN(const auth::TokenRequest wanted,
                           FromProto(*request));
          ASSIGN_OR_RETURN(auth::NewTokenResult made,
                           ports_.authority->Create(caller, wanted));
          *response->mutable_token() = ToProto(made.token);
          response->set_text(std::move(made.text));
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* AuthService::ListTokens(
    grpc::CallbackServerContext* context, const v1::ListTokensRequest* request,
    v1::ListTokensResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "AuthService/ListTokens", [&](const UnaryCall& call) {
        call.RunBlocking([this, request, response]() -> absl::Status {
          ASSIGN_OR_RETURN(const size_t size,
                           PageSize(request->page_size(), kPageSize));
          const std::string& after = request->page_token();
          if (!after.empty() && !IsTokenId(after)) {
            return WrongValue("page_token", Quoted(after),
                              "the next_page_token of a reply");
          }
          std::vector<auth::Token> tokens =
              ports_.authority->List(after, size + 1);
          if (tokens.size() > size) {
            tokens.pop_back();
            response->set_next_page_token(tokens.back().id);
          }
          for (const auth::Token& token : tokens) {
            *response->add_tokens() = ToProto(token);
          }
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* AuthService::RevokeToken(
    grpc::CallbackServerContext* context, const v1::RevokeTokenRequest* request,
    v1::RevokeTokenResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "AuthService/RevokeToken",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        call.RunBlocking([this, request, response, caller]() -> absl::Status {
          ASSIGN_OR_RETURN(const std::string id,
                           ParseTokenName("name", request->name()));
          ASSIGN_OR_RETURN(const auth::Token token,
                           ports_.authority->Revoke(caller, id));
          *response->mutable_token() = ToProto(token);
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* AuthService::JoinWorker(
    grpc::CallbackServerContext* context, const v1::JoinWorkerRequest* request,
    v1::JoinWorkerResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "AuthService/JoinWorker",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        call.RunBlocking([this, request, response, caller]() -> absl::Status {
          const absl::StatusOr<auth::Token> token = ports_.authority->Join(
              caller, request->worker(), request->secret_hash());
          if (!token.ok()) {
            spdlog::warn("audit: denied AuthService/JoinWorker by token {}: {}",
                         caller.token_id,
                         std::string(token.status().message()));
            return token.status();
          }
          *response->mutable_token() = ToProto(*token);
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* AuthService::WhoAmI(
    grpc::CallbackServerContext* context, const v1::WhoAmIRequest*,
    v1::WhoAmIResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "AuthService/WhoAmI",
      [&](const UnaryCall& call, const auth::Caller& caller) {
        if (caller.token_id.empty()) return call.Done(absl::OkStatus());
        const auto token = ports_.authority->Describe(caller);
        if (token.ok()) *response->mutable_token() = ToProto(*token);
        call.Done(token.status());
      });
}

}  // namespace trainyard::rpc
