// The text of a token: "ty_ID_SECRET", or "tyj_ID_SECRET" for a join token. The
// id says in clear which token it is; the secret is 256 random bits, and only
// its SHA-256 is kept where tokens are checked.
//
//   const TokenText token = NewToken(/*join=*/false);
//   token.ToString()            // to who will use it, once
//   HashSecret(token.secret)    // to keep
//
// Functions only; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

struct TokenText {
  std::string id;
  std::string secret;
  bool join = false;

  std::string ToString() const;
};

// Random bits come from OpenSSL.
TokenText NewToken(bool join);

// INVALID_ARGUMENT without the text: it may be a secret with a typing error.
absl::StatusOr<TokenText> ParseToken(absl::string_view text);

// What NewToken makes: 12 of a-z and 2-7.
bool IsTokenId(absl::string_view id);
// 64 lower-case hex digits.
bool IsSecretHash(absl::string_view hash);

// SHA-256 in hex.
std::string HashSecret(absl::string_view secret);
// In a time that does not depend on where they differ.
bool SameHash(absl::string_view a, absl::string_view b);

}  // namespace trainyard
