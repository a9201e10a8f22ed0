#include "proto/channel/channel.h"

#include <grpc/support/log.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "base/status_macros.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/support/client_interceptor.h"
#include "proto/channel/token_source.h"

namespace trainyard {
namespace {

constexpr size_t kMaxPemBytes = 1 << 20;
constexpr unsigned kReloadSeconds = 5;
constexpr char kSystem[] = "system";
constexpr char kOtherName[] =
    "its certificate is for another name: use a name that is in it, or give "
    "--tls-server-name";

absl::Status CheckPem(absl::string_view field, const std::string& path,
                      absl::string_view kind) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat(field, ": ", path, ": cannot be read"));
  }
  std::string text(kMaxPemBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (absl::StrContains(text, "-----BEGIN ") && absl::StrContains(text, kind)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", path, ": must be a PEM file with a ", kind));
}

// Puts the token on every call.
class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(TokenSource* source) : source_(source) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    using grpc::experimental::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      if (std::string token = source_->Get(); !token.empty()) {
        batch->GetSendInitialMetadata()->emplace(
            "authorization", absl::StrCat("Bearer ", token));
      }
    }
    batch->Proceed();
  }

 private:
  TokenSource* const source_;
};

class TokenInterceptorFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(const Security& security)
      : source_(security.token, security.token_file) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(&source_);
  }

 private:
  TokenSource source_;
};

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(
    const Security& security) {
  if (security.tls_ca.empty()) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  const bool own_roots = security.tls_ca != kSystem;
  if (own_roots || !security.tls_cert.empty()) {
    options.set_certificate_provider(
        std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
            security.tls_key, security.tls_cert,
            own_roots ? security.tls_ca : "", kReloadSeconds));
  }
  if (own_roots) options.watch_root_certs();
  if (!security.tls_cert.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::Status CheckSecurity(const std::string& server,
                           const Security& security) {
  const bool tls = !security.tls_ca.empty();
  if (!tls && (!security.tls_cert.empty() || !security.tls_key.empty() ||
               !security.tls_server_name.empty())) {
    return absl::InvalidArgumentError(
        "--tls-ca (TRAINYARD_TLS_CA): not set, though other TLS settings are: "
        "must be the file of the CA that signed the server's certificate, or "
        "\"system\"");
  }
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        security.tls_cert.empty() ? "--tls-cert" : "--tls-key",
        ": not set: a client certificate needs both --tls-cert and "
        "--tls-key"));
  }
  if (tls && security.tls_ca != kSystem) {
    RETURN_IF_ERROR(CheckPem("--tls-ca", security.tls_ca, "CERTIFICATE"));
  }
  if (!security.tls_cert.empty()) {
    RETURN_IF_ERROR(CheckPem("--tls-cert", security.tls_cert, "CERTIFICATE"));
    RETURN_IF_ERROR(CheckPem("--tls-key", security.tls_key, "PRIVATE KEY"));
  }
  if (security.token.empty() && security.token_file.empty()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(TokenSource::Check(security.token, security.token_file));
  if (tls || IsLoopback(server)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--tls-ca (TRAINYARD_TLS_CA): not set: the token would go to ", server,
      " in plain text, for everyone on the way to take"));
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server,
                                           const Security& security,
                                           grpc::ChannelArguments arguments) {
  if (!CheckSecurity(server, security).ok()) {
    return grpc::CreateCustomChannel(server, nullptr, arguments);
  }
  // A proxy for the wide world must not come between programs of one machine.
  if (IsLoopback(server)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!security.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(security.tls_server_name);
  }
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      interceptors;
  if (!security.token.empty() || !security.token_file.empty()) {
    interceptors.push_back(std::make_unique<TokenInterceptorFactory>(security));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      server, MakeCredentials(security), arguments, std::move(interceptors));
}

void QuietGrpc() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_function([](gpr_log_func_args*) {});
}

std::string ExplainConnectionError(const std::string& message) {
  const std::pair<absl::string_view, absl::string_view> kKnown[] = {
      {"certificate verify failed",
       "its certificate is not signed by the CA in --tls-ca "
       "(TRAINYARD_TLS_CA), or is not for this name"},
      {"wrong version number",
       "it does not speak TLS there: leave --tls-ca (TRAINYARD_TLS_CA) out, or "
       "give the address of a server with TLS"},
      {"hostname verification check failed", kOtherName},
      {"is not in peer certificate", kOtherName},
      {"certificate required",
       "it asks for a client certificate: give --tls-cert and --tls-key"},
      {"unknown ca",
       "it does not know the CA of the client certificate in --tls-cert"},
      {"certificate unknown",
       "it refused the client certificate in --tls-cert"},
      {"certificate expired", "a certificate has expired"},
      {"connection refused", "nothing listens there"},
      {"dns resolution failed", "its name leads to no address"},
      {"no route to host", "no network leads there"},
      {"network is unreachable", "no network leads there"},
      {"failed parsing http/2", "what listens there is no Trainyard server"},
      {"deadline exceeded", "it did not answer in time"},
  };
  const std::string lower = absl::AsciiStrToLower(message);
  for (const auto& [part, text] : kKnown) {
    if (absl::StrContains(lower, part)) return std::string(text);
  }
  // What TLS does to one who speaks otherwise, seen from his side.
  if (absl::StrContains(lower, "failed to connect") &&
      (absl::StrContains(lower, "socket closed") ||
       absl::StrContains(lower, "connection reset"))) {
    return "it closed the connection at once: a server with TLS needs --tls-ca "
           "(TRAINYARD_TLS_CA), one that asks for a client certificate needs "
           "--tls-cert and --tls-key too, by a CA it knows";
  }
  return message;
}

}  // namespace trainyard
