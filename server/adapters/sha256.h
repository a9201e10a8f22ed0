// SHA-256 of a stream of bytes, by OpenSSL.
//
//   Sha256 hash;
//   hash.Update("abc");
//   hash.HexDigest() == "ba7816bf…"
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::adapters {

class Sha256 {
 public:
  Sha256();
  void Update(absl::string_view bytes);
  // 64 lower-case hex digits. Ends the stream: call it once.
  std::string HexDigest();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace trainyard::adapters
