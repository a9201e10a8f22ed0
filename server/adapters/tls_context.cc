#include "server/adapters/tls_context.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/adapters/file.h"

namespace trainyard::adapters {
namespace {

// How often the files are looked at, at most.
constexpr absl::Duration kLookAgain = absl::Seconds(1);

struct FreeCtx {
  void operator()(SSL_CTX* ctx) const { SSL_CTX_free(ctx); }
};
using CtxPtr = std::unique_ptr<SSL_CTX, FreeCtx>;

// What OpenSSL says of its last error; its queue is empty then.
std::string OpenSslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "it is damaged" : reason;
}

absl::Status Readable(absl::string_view flag, const std::string& path) {
  const absl::StatusOr<File> file = File::Open(path, O_RDONLY);
  if (!file.ok()) return WithContext(file.status(), flag);
  return absl::OkStatus();
}

absl::Status Bad(absl::string_view flag, const std::string& path,
                 absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", path, ": ", what, ": ", OpenSslError()));
}

absl::Time ToTime(const ASN1_TIME* time) {
  int days = 0;
  int seconds = 0;
  const std::unique_ptr<ASN1_TIME, void (*)(ASN1_TIME*)> epoch(
      ASN1_TIME_set(nullptr, 0), [](ASN1_TIME* t) { ASN1_TIME_free(t); });
  if (epoch == nullptr ||
      ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1)
    return absl::InfiniteFuture();
  return absl::UnixEpoch() + days * absl::Hours(24) + absl::Seconds(seconds);
}

absl::StatusOr<CtxPtr> LoadContext(const TlsFiles& files) {
  CtxPtr ctx(SSL_CTX_new(TLS_server_method()));
  if (ctx == nullptr) return absl::ResourceExhaustedError(OpenSslError());
  SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(ctx.get(), SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(ctx.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ERR_clear_error();
  RETURN_IF_ERROR(Readable("--tls-cert", files.cert));
  RETURN_IF_ERROR(Readable("--tls-key", files.key));
  if (SSL_CTX_use_certificate_chain_file(ctx.get(), files.cert.c_str()) != 1) {
    return Bad("--tls-cert", files.cert, "must be a PEM certificate chain");
  }
  if (SSL_CTX_use_PrivateKey_file(ctx.get(), files.key.c_str(),
                                  SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ctx.get()) != 1) {
    return Bad("--tls-key", files.key,
               absl::StrCat("must be the PEM private key of ", files.cert));
  }
  if (files.client_ca.empty()) return ctx;
  RETURN_IF_ERROR(Readable("--tls-client-ca", files.client_ca));
  if (SSL_CTX_load_verify_locations(ctx.get(), files.client_ca.c_str(),
                                    nullptr) != 1) {
    return Bad("--tls-client-ca", files.client_ca,
               "must be a PEM file of CA certificates");
  }
  SSL_CTX_set_client_CA_list(ctx.get(),
                             SSL_load_client_CA_file(files.client_ca.c_str()));
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, nullptr);
  return ctx;
}

using Stamp = std::array<std::tuple<uint64_t, int64_t, int64_t>, 3>;

Stamp StampOf(const TlsFiles& files) {
  Stamp stamp;
  const std::array<const std::string*, 3> paths = {&files.cert, &files.key,
                                                   &files.client_ca};
  for (size_t i = 0; i < paths.size(); ++i) {
    struct stat info = {};
    if (stat(paths[i]->c_str(), &info) != 0) continue;
    stamp[i] = {info.st_ino, info.st_mtime, info.st_size};
  }
  return stamp;
}

}  // namespace

struct TlsContext::Material {
  CtxPtr ctx;
  Stamp stamp;
};

absl::Status CheckTlsFiles(const TlsFiles& files, absl::Time now) {
  ASSIGN_OR_RETURN(const CtxPtr ctx, LoadContext(files));
  const X509* cert = SSL_CTX_get0_certificate(ctx.get());
  const absl::Time begin = ToTime(X509_get0_notBefore(cert));
  const absl::Time end = ToTime(X509_get0_notAfter(cert));
  if (now >= begin && now < end) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--tls-cert: ", files.cert, ": is valid from ", absl::FormatTime(begin),
      " to ", absl::FormatTime(end), " only: must be valid now"));
}

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(
    const TlsFiles& files, const Clock* clock) {
  auto context = std::unique_ptr<TlsContext>(new TlsContext(files, clock));
  auto material = std::make_unique<Material>();
  material->stamp = StampOf(files);
  ASSIGN_OR_RETURN(material->ctx, LoadContext(files));
  absl::MutexLock lock(&context->mutex_);
  context->material_ = std::move(material);
  return context;
}

TlsContext::TlsContext(TlsFiles files, const Clock* clock)
    : files_(std::move(files)), clock_(clock) {}

TlsContext::~TlsContext() = default;

void TlsContext::Refresh() {
  const absl::Time now = clock_->Now();
  if (now - looked_ < kLookAgain) return;
  looked_ = now;
  const Stamp stamp = StampOf(files_);
  if (stamp == material_->stamp) return;
  absl::StatusOr<CtxPtr> ctx = LoadContext(files_);
  if (!ctx.ok()) {
    // Perhaps only half replaced: looked at again with the next connection.
    spdlog::warn("TLS files changed but cannot be used, the old ones stay: {}",
                 std::string(ctx.status().message()));
    return;
  }
  spdlog::info("TLS files of the HTTP port were read anew");
  material_->ctx = *std::move(ctx);
  material_->stamp = stamp;
}

SSL* TlsContext::NewConnection() {
  absl::MutexLock lock(&mutex_);
  Refresh();
  return SSL_new(material_->ctx.get());  // keeps the context alive
}

}  // namespace trainyard::adapters
