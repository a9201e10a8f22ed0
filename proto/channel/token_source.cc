#include "proto/channel/token_source.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace trainyard {
namespace {

constexpr size_t kMaxTokenBytes = 256;
// How often the file is looked at.
constexpr absl::Duration kLookAgain = absl::Seconds(1);

absl::Status CheckText(absl::string_view field, const std::string& token) {
  bool good = !token.empty() && token.size() <= kMaxTokenBytes;
  for (const char c : token) {
    good = good && absl::ascii_isgraph(static_cast<unsigned char>(c));
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": must be a token, such as ty_… from trainctl tokens create"));
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("token_file: ", path, ": cannot be read"));
  }
  std::string text(kMaxTokenBytes + 2, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  std::string token(absl::StripAsciiWhitespace(text));
  RETURN_IF_ERROR(CheckText(absl::StrCat("token_file: ", path), token));
  return token;
}

}  // namespace

absl::Status TokenSource::Check(const std::string& token,
                                const std::string& file) {
  if (!token.empty()) return CheckText("token", token);
  return ReadToken(file).status();
}

std::string TokenSource::Get() {
  if (!given_.empty()) return given_;
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  if (now - looked_ < kLookAgain) return read_;
  looked_ = now;
  struct stat info = {};
  if (stat(file_.c_str(), &info) != 0) return read_;
  const std::pair<int64_t, int64_t> changed(info.st_ino, info.st_mtime);
  if (changed == changed_) return read_;
  // A file that is being replaced leaves the token as it was.
  if (absl::StatusOr<std::string> token = ReadToken(file_); token.ok()) {
    read_ = *std::move(token);
    changed_ = changed;
  }
  return read_;
}

}  // namespace trainyard
