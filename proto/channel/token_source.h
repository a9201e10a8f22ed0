// The token a client shows: given, or the content of a file, read again when
// the file changes.
//
//   TokenSource source("", "/etc/trainyard/token");
//   source.Get()   // "ty_…"; empty: there is none now
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace trainyard {

class TokenSource {
 public:
  // `token` wins over `file`.
  TokenSource(std::string token, std::string file)
      : given_(std::move(token)), file_(std::move(file)) {}

  std::string Get();

  // INVALID_ARGUMENT, NOT_FOUND: it is no token, or the file cannot be read.
  // The message never has the token.
  static absl::Status Check(const std::string& token, const std::string& file);

 private:
  const std::string given_;
  const std::string file_;
  absl::Mutex mutex_;
  // Of the file, when it was read.
  std::pair<int64_t, int64_t> changed_ ABSL_GUARDED_BY(mutex_) = {-1, -1};
  absl::Time looked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::string read_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard
