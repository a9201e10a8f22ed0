#include "client/sha256.h"

#include <array>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/file.h"
#include "openssl/evp.h"

namespace trainyard::client {
namespace {

constexpr absl::string_view kPrefix = "sha256:";
constexpr size_t kReadBytes = 1 << 20;

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr);
}

Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

std::string Sha256::Name() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_->evp, digest.data(), &size);
  return absl::StrCat(kPrefix,
                      absl::BytesToHexString(absl::string_view(
                          reinterpret_cast<const char*>(digest.data()), size)));
}

absl::StatusOr<FileHash> HashFile(const std::string& path) {
  ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
  Sha256 hash;
  uint64_t size = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::string bytes, file.ReadAt(size, kReadBytes));
    if (bytes.empty()) break;
    hash.Update(bytes);
    size += bytes.size();
  }
  return FileHash{hash.Name(), size};
}

bool IsArtifactName(absl::string_view text) {
  return text.size() == kPrefix.size() + 64 &&
         absl::StartsWith(text, kPrefix) &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) ==
             absl::string_view::npos;
}

}  // namespace trainyard::client
