// X.509 certificates of our own, made by OpenSSL: a CA, and what it signs.
// ECDSA on P-256, SHA-256.
//
//   ASSIGN_OR_RETURN(Identity ca, MakeAuthority("Trainyard CA", begin, end));
//   ASSIGN_OR_RETURN(Identity server, IssueCertificate(ca, {
//       .common_name = "yard", .names = {"yard.lab", "10.0.0.7"},
//       .server = true, .begin = begin, .end = end}));
//
// Functions only; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard {

// Both in PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name;  // 1 to 64 characters
  // Host names and IP addresses that clients may reach it by. Servers need one.
  std::vector<std::string> names;
  bool server = false;  // else a client's
  absl::Time begin;
  absl::Time end;
};

// A CA that signs certificates and nothing else, and no CAs below it.
absl::StatusOr<Identity> MakeAuthority(const std::string& common_name,
                                       absl::Time begin, absl::Time end);

// INVALID_ARGUMENT: a name that is no host name or address, or a broken CA.
absl::StatusOr<Identity> IssueCertificate(const Identity& authority,
                                          const CertificateRequest& request);

// When the first certificate of a PEM text ends.
absl::StatusOr<absl::Time> EndOfCertificate(const std::string& pem);

}  // namespace trainyard
