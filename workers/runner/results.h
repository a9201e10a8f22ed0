// What an attempt leaves behind below output/: files that are written while it
// runs and are there under their names only when they are whole; metrics.jsonl
// is one of them, report.json is written at the end (the model's files are
// model_file.h's).
//
//   ASSIGN_OR_RETURN(MetricsLog log, MetricsLog::Create("/work/output"));
//   RETURN_IF_ERROR(log.Append(point)); ... RETURN_IF_ERROR(log.Finish());
//
// Errors are UNAVAILABLE: the disk fails. Not thread-safe.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace trainyard::runner {

inline constexpr char kMetricsFile[] = "metrics.jsonl";
inline constexpr char kReportFile[] = "report.json";

// Makes `folder` below `parent`; one that is there already is fine.
absl::StatusOr<std::string> MakeFolder(const std::string& parent,
                                       const std::string& folder);

// NAME.part until it is whole; removed where it is destroyed before that.
class PartFile {
 public:
  static absl::StatusOr<PartFile> Create(const std::string& path);
  PartFile(PartFile&&) = default;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  absl::Status Write(absl::string_view bytes);
  // Hands what was written to the system, so that others can read it.
  absl::Status Flush();
  // fsync and rename; nothing can be written any more.
  absl::Status Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  PartFile(std::string path, std::FILE* file)
      : path_(std::move(path)), file_(file) {}

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

class MetricsLog {
 public:
  static absl::StatusOr<MetricsLog> Create(const std::string& folder);

  absl::Status Append(const nlohmann::json& point);
  absl::Status Finish() { return file_.Finish(); }

 private:
  explicit MetricsLog(PartFile file) : file_(std::move(file)) {}

  PartFile file_;
};

absl::Status WriteReport(const std::string& folder,
                         const nlohmann::json& report);

}  // namespace trainyard::runner
