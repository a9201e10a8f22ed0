#include "base/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace trainyard {
namespace {

constexpr size_t kIdLetters = 12;      // 60 bits
constexpr size_t kSecretLetters = 52;  // 260 bits
// 32 letters: a random byte's low bits choose one evenly.
constexpr absl::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";

std::string RandomLetters(size_t count) {
  std::string text(count, '\0');
  // A token that could be guessed is worse than none.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(text.data()),
                 static_cast<int>(count)) != 1) {
    std::abort();
  }
  for (char& c : text) c = kLetters[static_cast<unsigned char>(c) % 32];
  return text;
}

bool IsLetters(absl::string_view text, size_t count) {
  return text.size() == count &&
         text.find_first_not_of(kLetters) == absl::string_view::npos;
}

}  // namespace

std::string TokenText::ToString() const {
  return absl::StrCat(join ? "tyj_" : "ty_", id, "_", secret);
}

TokenText NewToken(bool join) {
  return {RandomLetters(kIdLetters), RandomLetters(kSecretLetters), join};
}

absl::StatusOr<TokenText> ParseToken(absl::string_view text) {
  TokenText token;
  token.join = absl::ConsumePrefix(&text, "tyj_");
  if (token.join || absl::ConsumePrefix(&text, "ty_")) {
    const size_t cut = text.find('_');
    if (cut != absl::string_view::npos && IsTokenId(text.substr(0, cut)) &&
        IsLetters(text.substr(cut + 1), kSecretLetters)) {
      token.id = std::string(text.substr(0, cut));
      token.secret = std::string(text.substr(cut + 1));
      return token;
    }
  }
  return absl::InvalidArgumentError(
      "it is no token: must be such as ty_ID_SECRET, from trainctl tokens "
      "create");
}

bool IsTokenId(absl::string_view id) { return IsLetters(id, kIdLetters); }

bool IsSecretHash(absl::string_view hash) {
  return hash.size() == 64 &&
         hash.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

std::string HashSecret(absl::string_view secret) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_Digest(secret.data(), secret.size(), digest.data(), &size,
                 EVP_sha256(), nullptr) != 1) {
    std::abort();  // out of memory
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

bool SameHash(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace trainyard
