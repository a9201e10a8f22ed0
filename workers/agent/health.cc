#include "workers/agent/health.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "nlohmann/json.hpp"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = 4096;
constexpr size_t kMaxReasonBytes = 512;

// At most kMaxFileBytes; "" where there is no file.
std::string ReadHead(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

std::string Ago(absl::Duration age) {
  return absl::FormatDuration(absl::Trunc(age, absl::Seconds(1)));
}

}  // namespace

HealthFile::HealthFile(std::string path, Clock* clock)
    : path_(std::move(path)), clock_(clock), since_(clock->Now()) {
  Renew();
}

HealthFile::~HealthFile() {
  std::error_code error;
  fs::remove(path_, error);
}

void HealthFile::SetConnected() {
  absl::MutexLock lock(&mutex_);
  if (!std::exchange(connected_, true)) since_ = clock_->Now();
  reason_.clear();
  Write();
}

void HealthFile::SetDisconnected(absl::string_view reason) {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(connected_, false)) since_ = clock_->Now();
  reason_ = BoundedUtf8(reason, kMaxReasonBytes);
  Write();
}

void HealthFile::Renew() {
  absl::MutexLock lock(&mutex_);
  Write();
}

void HealthFile::Write() {
  const nlohmann::json json = {
      {"connected", connected_},
      {"reason", reason_},
      {"since_unix_ms", absl::ToUnixMillis(since_)},
      {"renewed_unix_ms", absl::ToUnixMillis(clock_->Now())}};
  // Renamed into place, so that no reader sees half of it.
  const std::string partial = path_ + ".new";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file << json.dump() << "\n";
  file.close();
  std::error_code error;
  if (file) fs::rename(partial, path_, error);
  const bool failed = !file || error;
  if (failed && !warned_) {
    spdlog::warn("cannot write {}: health checks will fail", path_);
  }
  warned_ = failed;
}

absl::Status CheckHealth(const std::string& path, HealthKind kind,
                         absl::Time now) {
  const auto json = nlohmann::json::parse(ReadHead(path), nullptr, false);
  if (!json.is_object()) {
    return absl::UnavailableError(
        absl::StrCat("no worker uses this work folder: ", path,
                     " is not there or cannot be read"));
  }
  const auto time = [&json](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_integer()
               ? absl::FromUnixMillis(found->get<int64_t>())
               : absl::InfinitePast();
  };
  const absl::Duration age = now - time("renewed_unix_ms");
  // From the future: the system's clock was set back.
  if (absl::AbsDuration(age) > kHealthFileLife) {
    return absl::UnavailableError(absl::StrCat(
        "no sign of life for ", Ago(age), ": the worker hangs or was killed"));
  }
  if (kind == HealthKind::kLive) return absl::OkStatus();
  const auto connected = json.find("connected");
  if (connected != json.end() && *connected == true) return absl::OkStatus();
  const auto reason = json.find("reason");
  return absl::UnavailableError(absl::StrCat(
      "not connected to the server for ", Ago(now - time("since_unix_ms")),
      ": ",
      reason != json.end() && reason->is_string() ? reason->get<std::string>()
                                                  : "for an unknown reason"));
}

}  // namespace trainyard::agent
