#include "base/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard {
namespace {

using testing::HasSubstr;

const absl::Time kBegin = absl::FromUnixSeconds(1'700'000'000);
const absl::Time kEnd = kBegin + 365 * absl::Hours(24);

std::unique_ptr<X509, decltype(&X509_free)> Read(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return {certificate, X509_free};
}

// As a peer would: the chain, at a time, for a purpose.
bool Verifies(const Identity& ca, const Identity& leaf, int purpose,
              absl::Time at) {
  const auto authority = Read(ca.certificate);
  const auto certificate = Read(leaf.certificate);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, authority.get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_STORE_CTX_set_time(context, 0, absl::ToTimeT(at));
  const bool good = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return good;
}

Identity Authority() { return *MakeAuthority("Trainyard CA", kBegin, kEnd); }

CertificateRequest ServerRequest() {
  CertificateRequest request;
  request.common_name = "yard";
  request.names = {"yard.lab", "10.0.0.7", "::1"};
  request.server = true;
  request.begin = kBegin;
  request.end = kEnd;
  return request;
}

TEST(Certificates, AServersIsGoodForItsNamesAndNoOthers) {
  const Identity ca = Authority();
  const auto server = IssueCertificate(ca, ServerRequest());
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(Verifies(ca, *server, X509_PURPOSE_SSL_SERVER, kBegin));
  EXPECT_FALSE(Verifies(ca, *server, X509_PURPOSE_SSL_CLIENT, kBegin));
  const auto certificate = Read(server->certificate);
  const auto is_for = [&](const char* name) {
    return X509_check_host(certificate.get(), name, 0, 0, nullptr) == 1 ||
           X509_check_ip_asc(certificate.get(), name, 0) == 1;
  };
  EXPECT_TRUE(is_for("yard.lab"));
  EXPECT_TRUE(is_for("10.0.0.7"));
  EXPECT_TRUE(is_for("::1"));
  EXPECT_FALSE(is_for("other.lab"));
  EXPECT_FALSE(is_for("10.0.0.8"));
}

TEST(Certificates, AClientsIsNoServers) {
  const Identity ca = Authority();
  CertificateRequest request = ServerRequest();
  request.server = false;
  const auto client = IssueCertificate(ca, request);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(Verifies(ca, *client, X509_PURPOSE_SSL_CLIENT, kBegin));
  EXPECT_FALSE(Verifies(ca, *client, X509_PURPOSE_SSL_SERVER, kBegin));
}

TEST(Certificates, AnotherCaAndAnotherTimeDoNotDo) {
  const Identity ca = Authority();
  const auto server = IssueCertificate(ca, ServerRequest());
  EXPECT_FALSE(Verifies(Authority(), *server, X509_PURPOSE_SSL_SERVER, kBegin));
  EXPECT_FALSE(Verifies(ca, *server, X509_PURPOSE_SSL_SERVER,
                        kEnd + absl::Seconds(1)));
  EXPECT_FALSE(Verifies(ca, *server, X509_PURPOSE_SSL_SERVER,
                        kBegin - absl::Seconds(1)));
  EXPECT_EQ(*EndOfCertificate(server->certificate), kEnd);
}

TEST(Certificates, WhatItSignedSignsNothing) {
  const Identity ca = Authority();
  const auto server = IssueCertificate(ca, ServerRequest());
  const auto below = IssueCertificate(*server, ServerRequest());
  ASSERT_TRUE(below.ok());
  EXPECT_FALSE(Verifies(ca, *below, X509_PURPOSE_SSL_SERVER, kBegin));
}

TEST(Certificates, RefusesNamesThatAreNone) {
  const Identity ca = Authority();
  for (const char* bad : {"", "a b", "yard,IP:1.2.3.4", "-x", "DNS:x", "a/b"}) {
    CertificateRequest request = ServerRequest();
    request.names = {bad};
    const auto made = IssueCertificate(ca, request);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(made.status().message()), HasSubstr("host name"));
  }
  CertificateRequest request = ServerRequest();
  request.names.clear();
  EXPECT_FALSE(IssueCertificate(ca, request).ok());
}

TEST(Certificates, RefusesABrokenCa) {
  Identity ca = Authority();
  ca.key = Authority().key;
  EXPECT_EQ(IssueCertificate(ca, ServerRequest()).status().code(),
            absl::StatusCode::kInvalidArgument);
  ca.key = "no key";
  EXPECT_EQ(IssueCertificate(ca, ServerRequest()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trainyard
