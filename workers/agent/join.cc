#include "workers/agent/join.h"

#include <unistd.h>

#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/private_file.h"
#include "base/status_macros.h"
#include "base/token.h"
#include "grpcpp/client_context.h"
#include "trainyard/v1/auth_service.grpc.pb.h"
#include "workers/agent/session.h"

namespace trainyard::agent {
namespace {

constexpr size_t kMaxToken = 512;
constexpr absl::Duration kCallTimeout = absl::Seconds(15);
constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLongestPause = absl::Seconds(15);

absl::StatusOr<std::optional<TokenText>> GivenToken(const Security& security) {
  std::string text = security.token;
  if (text.empty() && security.token_file.empty()) return std::nullopt;
  if (text.empty()) {
    ASSIGN_OR_RETURN(text, ReadSmallFile(security.token_file, kMaxToken));
  }
  absl::StatusOr<TokenText> token =
      ParseToken(absl::StripAsciiWhitespace(text));
  if (!token.ok()) return WithContext(token.status(), "token");
  return *std::move(token);
}

// Calls until the server was reached.
absl::Status Persist(
    const std::string& server, const std::function<bool(absl::Duration)>& pause,
    const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  bool warned = false;
  for (absl::Duration wait = kFirstPause;;
       wait = std::min(2 * wait, kLongestPause)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
    const grpc::Status status = call(&context);
    const bool away =
        status.error_code() == grpc::StatusCode::UNAVAILABLE ||
        status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
        status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (!away) {
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                          status.error_message());
    }
    if (!std::exchange(warned, true)) {
      spdlog::warn("cannot join yet: the server {} cannot be reached: {}",
                   server, ExplainConnectionError(status.error_message()));
    }
    if (!pause(wait)) return absl::CancelledError("asked to leave");
  }
}

class Joiner {
 public:
  Joiner(const JoinRequest& request,
         const std::function<bool(absl::Duration)>& pause)
      : request_(request), pause_(pause), own_(request.security) {
    own_.token.clear();
    own_.token_file = request.token_file;
  }

  absl::StatusOr<Security> Join() {
    ASSIGN_OR_RETURN(const std::optional<TokenText> given,
                     GivenToken(request_.security));
    const bool has_own = access(request_.token_file.c_str(), F_OK) == 0;
    if (!given.has_value()) return has_own ? own_ : request_.security;
    if (!given->join) return request_.security;
    if (has_own) {
      ASSIGN_OR_RETURN(const bool good, OwnIsGood());
      if (good) return own_;
    }
    RETURN_IF_ERROR(GetOwn());
    return own_;
  }

 private:
  std::unique_ptr<v1::AuthService::Stub> Stub(const Security& security) const {
    return v1::AuthService::NewStub(
        MakeWorkerChannel(request_.server, security));
  }

  absl::StatusOr<bool> OwnIsGood() {
    const auto stub = Stub(own_);
    const absl::Status status =
        Persist(request_.server, pause_, [&](grpc::ClientContext* context) {
          v1::WhoAmIResponse ignored;
          return stub->WhoAmI(context, {}, &ignored);
        });
    if (status.ok()) return true;
    if (!absl::IsUnauthenticated(status)) return status;
    spdlog::warn(
        "this worker's own token is no good any more, joining anew: {}",
        std::string(status.message()));
    return false;
  }

  // The secret is kept before it is used: where the reply, or this process, is
  // lost, the next try is the same again.
  absl::StatusOr<std::string> Secret() const {
    const std::string path = request_.token_file + ".joining";
    if (access(path.c_str(), F_OK) == 0) return ReadSmallFile(path, kMaxToken);
    const std::string secret = NewToken(/*join=*/false).secret;
    RETURN_IF_ERROR(WritePrivateFile(path, secret));
    return secret;
  }

  absl::Status GetOwn() {
    ASSIGN_OR_RETURN(const std::string secret, Secret());
    v1::JoinWorkerRequest request;
    request.set_worker(request_.worker);
    request.set_secret_hash(HashSecret(secret));
    v1::JoinWorkerResponse response;
    const auto stub = Stub(request_.security);
    RETURN_IF_ERROR(WithContext(Persist(request_.server, pause_,
                                        [&](grpc::ClientContext* context) {
                                          return stub->JoinWorker(
                                              context, request, &response);
                                        }),
                                "joining"));
    TokenText token;
    token.id =
        std::string(absl::StripPrefix(response.token().name(), "tokens/"));
    token.secret = secret;
    RETURN_IF_ERROR(ParseToken(token.ToString()).status());
    RETURN_IF_ERROR(WritePrivateFile(request_.token_file,
                                     token.ToString() + "\n",
                                     /*replace=*/true));
    unlink((request_.token_file + ".joining").c_str());
    spdlog::info("joined as worker {} by {}", request_.worker,
                 response.token().name());
    return absl::OkStatus();
  }

  const JoinRequest& request_;
  const std::function<bool(absl::Duration)>& pause_;
  Security own_;
};

}  // namespace

absl::StatusOr<Security> JoinServer(
    const JoinRequest& request,
    const std::function<bool(absl::Duration)>& pause) {
  return Joiner(request, pause).Join();
}

}  // namespace trainyard::agent
