#include "workers/agent/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace trainyard::agent {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr);
}

Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->context, digest, &size);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

absl::StatusOr<std::string> Sha256OfFile(int fd) {
  Sha256 hash;
  std::vector<char> buffer(256 * 1024);
  off_t offset = 0;
  for (;;) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::InternalError(
          absl::StrCat("cannot read: ", strerror(errno)));
    }
    if (got == 0) return hash.Finish();
    hash.Update(absl::string_view(buffer.data(), static_cast<size_t>(got)));
    offset += got;
  }
}

absl::StatusOr<std::string> ArtifactDigits(absl::string_view artifact) {
  absl::string_view digits = artifact;
  if (absl::ConsumePrefix(&digits, "sha256:") && digits.size() == 64 &&
      digits.find_first_not_of("0123456789abcdef") == absl::string_view::npos) {
    return std::string(digits);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("artifact \"", artifact.substr(0, 80),
                   "\": must be \"sha256:\" and 64 lower-case hex digits"));
}

}  // namespace trainyard::agent
