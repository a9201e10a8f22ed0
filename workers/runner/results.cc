#include "workers/runner/results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
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

absl::StatusOr<PartFile> PartFile::Create(const std::string& path) {
  std::FILE* file = std::fopen(absl::StrCat(path, ".part").c_str(), "we");
  if (file == nullptr) return DiskError(absl::StrCat("cannot write ", path));
  return PartFile(path, file);
}

PartFile::~PartFile() {
  if (file_ != nullptr) unlink(absl::StrCat(path_, ".part").c_str());
}

absl::Status PartFile::Write(absl::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return DiskError(absl::StrCat("cannot write ", path_));
  }
  return absl::OkStatus();
}

absl::Status PartFile::Flush() {
  if (std::fflush(file_.get()) == 0) return absl::OkStatus();
  return DiskError(absl::StrCat("cannot write ", path_));
}

absl::Status PartFile::Finish() {
  const bool synced =
      std::fflush(file_.get()) == 0 && fsync(fileno(file_.get())) == 0;
  const bool closed = std::fclose(file_.release()) == 0;
  if (!synced || !closed ||
      std::rename(absl::StrCat(path_, ".part").c_str(), path_.c_str()) != 0) {
    return DiskError(absl::StrCat("cannot write ", path_));
  }
  return absl::OkStatus();
}

absl::StatusOr<MetricsLog> MetricsLog::Create(const std::string& folder) {
  ASSIGN_OR_RETURN(PartFile file,
                   PartFile::Create(absl::StrCat(folder, "/", kMetricsFile)));
  return MetricsLog(std::move(file));
}

absl::Status MetricsLog::Append(const nlohmann::json& point) {
  RETURN_IF_ERROR(file_.Write(EventLine(point)));
  return file_.Flush();
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
