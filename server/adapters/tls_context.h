// The TLS of a port that is not gRPC's: TLS 1.2 or newer, client certificates
// where a CA for them is given, and files that are read again when they change.
//
//   ASSIGN_OR_RETURN(auto tls, TlsContext::Load(files));
//   SSL* ssl = tls->NewConnection();   // for SSL_accept; SSL_free it
//
// Thread-safe.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/tls_files.h"

namespace trainyard::adapters {

// Whether the files hold a certificate that is valid now, its key and, where
// named, CAs. NOT_FOUND, INVALID_ARGUMENT: the flag ("--tls-key"), the file and
// what is wrong with it.
absl::Status CheckTlsFiles(const TlsFiles& files, absl::Time now);

class TlsContext {
 public:
  // `clock` lives longer than the context.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Load(const TlsFiles& files,
                                                          const Clock* clock);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // With what the files hold now; where they are broken, with what they held
  // before. A client certificate is asked for where there is a CA for it, and
  // must then be by it; none at all is let through, for the pages to decide.
  // Null: out of memory.
  SSL* NewConnection();

 private:
  struct Material;

  TlsContext(TlsFiles files, const Clock* clock);
  void Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TlsFiles files_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  std::unique_ptr<Material> material_ ABSL_GUARDED_BY(mutex_);
  absl::Time looked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace trainyard::adapters
