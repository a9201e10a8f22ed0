#include "workers/agent/data_roots.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

// "/a/../b/" as "/b".
std::string Normal(const std::string& path) {
  std::string normal = fs::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

bool IsInside(const std::string& path, const std::string& root) {
  return root == "/" || path == root || absl::StartsWith(path, root + "/");
}

bool IsInsideAny(const std::string& path,
                 const std::vector<std::string>& roots) {
  return std::any_of(roots.begin(), roots.end(), [&](const std::string& root) {
    return IsInside(path, root);
  });
}

}  // namespace

absl::StatusOr<DataRoots> DataRoots::Make(std::vector<std::string> roots) {
  std::vector<std::string> real;
  for (std::string& root : roots) {
    std::error_code error;
    const fs::path canonical = fs::canonical(root, error);
    if (!fs::path(root).is_absolute() || error) {
      return absl::InvalidArgumentError(
          absl::StrCat("--data-root ", root,
                       ": must be an absolute path of a "
                       "folder that exists",
                       error ? absl::StrCat(" (", error.message(), ")") : ""));
    }
    root = Normal(root);
    real.push_back(canonical.string());
  }
  return DataRoots(std::move(roots), std::move(real));
}

std::vector<std::string> DataRoots::Default() {
  std::vector<std::string> roots;
  std::error_code error;
  const char* home = std::getenv("HOME");
  if (home != nullptr && fs::path(home).is_absolute() &&
      fs::exists(home, error) && Normal(home) != "/") {
    roots.push_back(home);
  }
  const std::string current = fs::current_path(error).string();
  // Services start in "/": that must not open the whole machine.
  if (!error && current != "/") roots.push_back(current);
  return roots;
}

absl::StatusOr<std::string> DataRoots::Check(const std::string& path) const {
  const std::string shown = BoundedUtf8(path, 1024);
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", shown, "\": must be an absolute path"));
  }
  const auto refuse = [&] {
    return absl::PermissionDeniedError(
        absl::StrCat("\"", shown,
                     "\": must be inside a folder that this worker lets jobs "
                     "read (",
                     given_.empty() ? "none" : absl::StrJoin(given_, ", "),
                     "); start the worker with --data-root to allow another"));
  };
  // Looked at before the disk is, so that nobody learns what exists elsewhere.
  const std::string normal = Normal(path);
  if (!IsInsideAny(normal, given_) && !IsInsideAny(normal, real_)) {
    return refuse();
  }
  std::error_code error;
  const std::string real = fs::canonical(path, error).string();
  if (error == std::errc::no_such_file_or_directory) {
    return absl::NotFoundError(absl::StrCat(
        "\"", shown, "\": there is no such file or folder on this worker"));
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", shown, "\": ", error.message()));
  }
  if (!IsInsideAny(real, real_)) return refuse();
  return real;
}

}  // namespace trainyard::agent
