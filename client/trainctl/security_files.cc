#include "client/trainctl/security_files.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/certificates.h"
#include "base/private_file.h"
#include "base/status_macros.h"
#include "base/token.h"

namespace trainyard::trainctl {
namespace {

constexpr absl::Duration kAuthorityLifetime = absl::Hours(24 * 3650);
// Clocks differ a little.
constexpr absl::Duration kSlack = absl::Minutes(5);
constexpr size_t kMaxFile = 1 << 20;

class Maker {
 public:
  explicit Maker(const SecurityRequest& request) : request_(request) {}

  absl::StatusOr<SecurityFiles> Make() {
    RETURN_IF_ERROR(MakePrivateFolder(request_.folder));
    RETURN_IF_ERROR(MakeCa());
    CertificateRequest certificate;
    certificate.begin = request_.now - kSlack;
    certificate.end = std::min(request_.now + request_.lifetime, ca_end_);
    certificate.common_name = "trainyard client";
    RETURN_IF_ERROR(Issue("client", certificate));
    certificate.common_name = "trainyard worker";
    RETURN_IF_ERROR(Issue("worker", certificate));
    certificate.common_name = "trainyard server";
    certificate.server = true;
    certificate.names = request_.hosts;
    for (const char* own : {"localhost", "127.0.0.1", "::1"}) {
      const auto& names = certificate.names;
      if (std::find(names.begin(), names.end(), own) == names.end()) {
        certificate.names.push_back(own);
      }
    }
    RETURN_IF_ERROR(Issue("server", certificate));
    RETURN_IF_ERROR(MakeToken());
    return files_;
  }

 private:
  std::string Path(const std::string& name) const {
    return (std::filesystem::path(request_.folder) / name).string();
  }
  bool Exists(const std::string& name) const {
    std::error_code error;
    return std::filesystem::exists(Path(name), error);
  }

  // Whether both files of a pair are there; one alone is an error.
  absl::StatusOr<bool> HavePair(const std::string& a,
                                const std::string& b) const {
    if (Exists(a) == Exists(b)) return Exists(a);
    return absl::FailedPreconditionError(absl::StrCat(
        Path(Exists(a) ? b : a), ": is missing, though ", Exists(a) ? a : b,
        " is there: put it back, or remove the other one too"));
  }

  absl::Status Write(const std::string& name, const std::string& text,
                     bool replace = false) {
    RETURN_IF_ERROR(WritePrivateFile(Path(name), text, replace));
    files_.made.push_back(name);
    return absl::OkStatus();
  }
  void Keep(const std::string& a, const std::string& b) {
    files_.kept.push_back(a);
    files_.kept.push_back(b);
  }

  absl::Status MakeCa() {
    ASSIGN_OR_RETURN(const bool there, HavePair("ca.crt", "ca.key"));
    if (there) {
      Keep("ca.crt", "ca.key");
      ASSIGN_OR_RETURN(ca_.certificate,
                       ReadSmallFile(Path("ca.crt"), kMaxFile));
      ASSIGN_OR_RETURN(ca_.key, ReadSmallFile(Path("ca.key"), kMaxFile));
      const auto end = EndOfCertificate(ca_.certificate);
      if (!end.ok()) return WithContext(end.status(), Path("ca.crt"));
      ca_end_ = *end;
      return absl::OkStatus();
    }
    ca_end_ = request_.now + kAuthorityLifetime;
    ASSIGN_OR_RETURN(
        ca_, MakeAuthority("Trainyard CA", request_.now - kSlack, ca_end_));
    RETURN_IF_ERROR(Write("ca.key", ca_.key));
    return Write("ca.crt", ca_.certificate);
  }

  absl::Status Issue(const std::string& name,
                     const CertificateRequest& request) {
    const std::string certificate = name + ".crt";
    const std::string key = name + ".key";
    ASSIGN_OR_RETURN(const bool there, HavePair(certificate, key));
    if (there && !request_.renew) {
      Keep(certificate, key);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Identity made, IssueCertificate(ca_, request));
    RETURN_IF_ERROR(Write(key, made.key, there));
    return Write(certificate, made.certificate, there);
  }

  absl::Status MakeToken() {
    const std::string token_name = "admin.token";
    const std::string hash_name = "bootstrap-token.hash";
    TokenText token = NewToken(/*join=*/false);
    if (Exists(token_name)) {
      files_.kept.push_back(token_name);
      ASSIGN_OR_RETURN(const std::string text,
                       ReadSmallFile(Path(token_name), kMaxFile));
      const auto parsed = ParseToken(absl::StripAsciiWhitespace(text));
      if (!parsed.ok()) return WithContext(parsed.status(), Path(token_name));
      token = *parsed;
      if (Exists(hash_name)) {
        files_.kept.push_back(hash_name);
        return absl::OkStatus();
      }
    } else if (Exists(hash_name)) {
      // The token was moved to where it is used; the server knows its hash.
      files_.kept.push_back(hash_name);
      return absl::OkStatus();
    } else {
      RETURN_IF_ERROR(Write(token_name, token.ToString() + "\n"));
    }
    return Write(hash_name,
                 absl::StrCat(token.id, " ", HashSecret(token.secret), "\n"));
  }

  const SecurityRequest& request_;
  SecurityFiles files_;
  Identity ca_;
  absl::Time ca_end_;
};

}  // namespace

absl::StatusOr<SecurityFiles> MakeSecurityFiles(
    const SecurityRequest& request) {
  return Maker(request).Make();
}

}  // namespace trainyard::trainctl
