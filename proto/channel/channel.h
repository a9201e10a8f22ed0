// How a program reaches a server: plain text or TLS, with a client certificate
// and a token where the server asks for them.
//
//   Security security = {.tls_ca = "ca.crt", .token_file = "token"};
//   RETURN_IF_ERROR(CheckSecurity("yard.lab:7070", security));
//   auto channel = MakeChannel("yard.lab:7070", security, arguments);
//
// Files are read again when they change, without a new channel. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace trainyard {

struct Security {
  // PEM file of the CAs that may sign the server's certificate, or "system"
  // for those of the operating system. Empty: plain text.
  std::string tls_ca;
  // PEM files of the client's own certificate and key. Empty: none.
  std::string tls_cert;
  std::string tls_key;
  // The name in the server's certificate, where it is reached by another one
  // (a tunnel). Empty: the address's host.
  std::string tls_server_name;
  // The token, or the file that holds it. The token wins. Empty: none.
  std::string token;
  std::string token_file;
};

// What a program can know before it connects. INVALID_ARGUMENT and NOT_FOUND
// name the field by its flag, "--tls-ca", and what would be right: files that
// are missing or no PEM, a certificate without key, a token that would go over
// another machine's network in plain text.
absl::Status CheckSecurity(const std::string& server, const Security& security);

// Connects at the first call. What CheckSecurity refuses gives a channel whose
// calls fail with INVALID_ARGUMENT.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server,
                                           const Security& security,
                                           grpc::ChannelArguments arguments);

// Keeps gRPC's own remarks off standard error unless GRPC_VERBOSITY asks for
// them. For programs, once, first.
void QuietGrpc();

// What gRPC says of a connection that failed, in words to act on that go on
// from the server's address; other messages unchanged.
std::string ExplainConnectionError(const std::string& message);

}  // namespace trainyard
