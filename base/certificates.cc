#include "base/certificates.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace trainyard {
namespace {

constexpr size_t kMaxCommonName = 64;  // X.520's bound
constexpr size_t kMaxName = 253;       // DNS's
constexpr int kSerialBytes = 16;

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* object) const { free(object); }
};
void FreeBio(BIO* bio) { BIO_free(bio); }
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO, FreeBio>>;
using Extension =
    std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION, X509_EXTENSION_free>>;

absl::Status OpenSslFailed(absl::string_view doing) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return absl::InternalError(absl::StrCat(
      "OpenSSL cannot ", doing, ": ", reason == nullptr ? "no reason" : reason));
}

bool IsAddress(const std::string& name) {
  std::array<unsigned char, 16> bytes;
  return inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

// Nothing that the syntax of OpenSSL's extensions gives a meaning to.
bool IsHostName(const std::string& name) {
  if (name.empty() || name.size() > kMaxName) return false;
  for (const char c : name) {
    const bool good = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                      c == '-' || c == '.' || c == '*';
    if (!good) return false;
  }
  return name.front() != '-' && name.front() != '.';
}

absl::StatusOr<std::string> AlternativeNames(
    const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (const std::string& name : names) {
    if (IsAddress(name)) {
      parts.push_back(absl::StrCat("IP:", name));
    } else if (IsHostName(name)) {
      parts.push_back(absl::StrCat("DNS:", name));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("name \"", name,
                       "\": must be a host name or an IP address, such as "
                       "yard.lab or 10.0.0.7"));
    }
  }
  return absl::StrJoin(parts, ",");
}

absl::Status AddExtension(X509* certificate, X509* issuer, int kind,
                          const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (extension == nullptr ||
      X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslFailed(absl::StrCat("set ", OBJ_nid2sn(kind)));
  }
  return absl::OkStatus();
}

// All but its extensions and signature.
absl::StatusOr<Certificate> NewCertificate(const std::string& common_name,
                                           EVP_PKEY* key, absl::Time begin,
                                           absl::Time end) {
  if (common_name.empty() || common_name.size() > kMaxCommonName) {
    return absl::InvalidArgumentError(absl::StrCat(
        "common name \"", common_name, "\": must be 1 to 64 characters"));
  }
  if (begin >= end) {
    return absl::InvalidArgumentError("a certificate must end after its begin");
  }
  Certificate certificate(X509_new());
  std::array<unsigned char, kSerialBytes> serial;
  if (certificate == nullptr ||
      RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) {
    return OpenSslFailed("make a certificate");
  }
  serial[0] &= 0x7f;  // positive
  BIGNUM* const number = BN_bin2bn(serial.data(), kSerialBytes, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                absl::ToTimeT(begin));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(end));
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
      reinterpret_cast<const unsigned char*>(common_name.data()),
      static_cast<int>(common_name.size()), -1, 0);
  return certificate;
}

std::string Take(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<Identity> Sign(X509* certificate, EVP_PKEY* key,
                              EVP_PKEY* issuer_key) {
  if (X509_sign(certificate, issuer_key, EVP_sha256()) == 0) {
    return OpenSslFailed("sign a certificate");
  }
  const Bio certificate_text(BIO_new(BIO_s_mem()));
  const Bio key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key, nullptr, nullptr, 0,
                               nullptr, nullptr) != 1) {
    return OpenSslFailed("write a certificate");
  }
  return Identity{Take(certificate_text), Take(key_text)};
}

absl::StatusOr<Certificate> ReadCertificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr,
                                            nullptr));
  ERR_clear_error();
  if (certificate == nullptr) {
    return absl::InvalidArgumentError("must be a certificate in PEM");
  }
  return certificate;
}

absl::StatusOr<Key> ReadKey(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // Without a callback OpenSSL would ask the terminal for a password.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        "must be a private key in PEM, without a password");
  }
  return key;
}

}  // namespace

absl::StatusOr<Identity> MakeAuthority(const std::string& common_name,
                                       absl::Time begin, absl::Time end) {
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslFailed("make a key");
  ASSIGN_OR_RETURN(const Certificate certificate,
                   NewCertificate(common_name, key.get(), begin, end));
  X509* const self = certificate.get();
  X509_set_issuer_name(self, X509_get_subject_name(self));
  RETURN_IF_ERROR(AddExtension(self, self, NID_basic_constraints,
                               "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(
      AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(
      AddExtension(self, self, NID_subject_key_identifier, "hash"));
  return Sign(self, key.get(), key.get());
}

absl::StatusOr<Identity> IssueCertificate(const Identity& authority,
                                          const CertificateRequest& request) {
  ASSIGN_OR_RETURN(const Certificate issuer,
                   ReadCertificate(authority.certificate));
  ASSIGN_OR_RETURN(const Key issuer_key, ReadKey(authority.key));
  if (X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "the CA's key does not belong to its certificate");
  }
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslFailed("make a key");
  ASSIGN_OR_RETURN(const Certificate certificate,
                   NewCertificate(request.common_name, key.get(),
                                  request.begin, request.end));
  X509* const self = certificate.get();
  X509_set_issuer_name(self, X509_get_subject_name(issuer.get()));
  const std::pair<int, std::string> extensions[] = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage, request.server ? "serverAuth" : "clientAuth"},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid"},
  };
  for (const auto& [kind, value] : extensions) {
    RETURN_IF_ERROR(AddExtension(self, issuer.get(), kind, value));
  }
  if (!request.names.empty()) {
    ASSIGN_OR_RETURN(const std::string names, AlternativeNames(request.names));
    RETURN_IF_ERROR(
        AddExtension(self, issuer.get(), NID_subject_alt_name, names));
  } else if (request.server) {
    return absl::InvalidArgumentError(
        "names: a server's certificate needs at least one");
  }
  return Sign(self, key.get(), issuer_key.get());
}

absl::StatusOr<absl::Time> EndOfCertificate(const std::string& pem) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pem));
  const std::unique_ptr<ASN1_TIME, Free<ASN1_TIME, ASN1_TIME_free>> epoch(
      ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, epoch.get(),
                     X509_get0_notAfter(certificate.get())) != 1) {
    return absl::InvalidArgumentError("has no end that can be read");
  }
  return absl::UnixEpoch() + days * absl::Hours(24) + absl::Seconds(seconds);
}

}  // namespace trainyard
