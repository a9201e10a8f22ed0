#include "server/adapters/sha256.h"

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "base/log.h"

namespace trainyard::adapters {
namespace {

// OpenSSL fails here only without memory or with a broken installation.
void Check(int ok) {
  if (ok == 1) return;
  spdlog::critical("OpenSSL cannot compute SHA-256");
  std::abort();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Check(context_ != nullptr ? 1 : 0);
  Check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(absl::string_view bytes) {
  Check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Sha256::HexDigest() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  Check(EVP_DigestFinal_ex(context_.get(), digest, &size));
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace trainyard::adapters
