#include "workers/runner/results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "workers/runner/data/file.h"
#include "workers/runner/events.h"

namespace trainyard::runner {
namespace {

absl::Status DiskError(const std::string& what) {
  return absl::UnavailableError(data::ErrnoStatus(errno, what).message());
}

}  // namespace

absl::StatusOr<std::string> MakeFolder(const std::string& parent,
                                       const std::string& folder) {
  const std::string path = absl::StrCat(parent, "/", folder);
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
    return DiskError(absl::StrCat("cannot make the folder ", path));
  }
  return path;
}

absl::StatusOr<MetricsLog> MetricsLog::Create(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kMetricsFile);
  std::FILE* file = std::fopen(absl::StrCat(path, ".part").c_str(), "we");
  if (file == nullptr) return DiskError(absl::StrCat("cannot write ", path));
  return MetricsLog(path, file);
}

absl::Status MetricsLog::Append(const nlohmann::json& point) {
  const std::string line = EventLine(point);
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
      std::fflush(file_.get()) != 0) {
    return DiskError(absl::StrCat("cannot write ", path_));
  }
  return absl::OkStatus();
}

absl::Status MetricsLog::Finish() {
  const bool synced = fsync(fileno(file_.get())) == 0;
  const bool closed = std::fclose(file_.release()) == 0;
  if (!synced || !closed ||
      std::rename(absl::StrCat(path_, ".part").c_str(), path_.c_str()) != 0) {
    return DiskError(absl::StrCat("cannot write ", path_));
  }
  return absl::OkStatus();
}

absl::Status WriteReport(const std::string& folder,
                         const nlohmann::json& report) {
  const absl::Status written =
      data::WriteFileAtomically(absl::StrCat(folder, "/", kReportFile),
                                absl::StrCat(report.dump(2), "\n"));
  if (written.ok()) return written;
  return absl::UnavailableError(written.message());
}

}  // namespace trainyard::runner
