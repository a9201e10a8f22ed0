// What an attempt leaves behind below output/: metrics.jsonl while it runs,
// report.json at its end (the model's files are model_file.h's).
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
#include "nlohmann/json.hpp"

namespace trainyard::runner {

inline constexpr char kMetricsFile[] = "metrics.jsonl";
inline constexpr char kReportFile[] = "report.json";

// Makes `folder` below `parent`; one that is there already is fine.
absl::StatusOr<std::string> MakeFolder(const std::string& parent,
                                       const std::string& folder);

// metrics.jsonl.part until it is whole.
class MetricsLog {
 public:
  static absl::StatusOr<MetricsLog> Create(const std::string& folder);

  absl::Status Append(const nlohmann::json& point);
  // fsync and rename; nothing can be appended any more.
  absl::Status Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  MetricsLog(std::string path, std::FILE* file)
      : path_(std::move(path)), file_(file) {}

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

absl::Status WriteReport(const std::string& folder,
                         const nlohmann::json& report);

}  // namespace trainyard::runner
