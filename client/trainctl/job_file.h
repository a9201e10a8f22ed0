// Makes a JobSpec of a job file and what the command line changes in it.
//
//   ASSIGN_OR_RETURN(JobFile job, JobFile::Load("job.yaml"));   // or JobFile()
//   RETURN_IF_ERROR(job.Set("training.epochs", "3", "--epochs"));
//   ASSIGN_OR_RETURN(v1::JobSpec spec, job.ToSpec());
//
// Sources may be short: "/data/x" is a path, "sha256:…" an artifact, "./x" an
// upload. Uploads come out as absolute paths: relative ones are meant from the
// job file, on the command line from the working directory.
// A member's job may be 17, "17" or "jobs/17".
// Errors are INVALID_ARGUMENT: "job.yaml:7: training.epochs: -1: must be …".
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/trainctl/yaml_reader.h"
#include "proto/json/job_json.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

// Not thread-safe.
class JobFile {
 public:
  JobFile() = default;  // empty: everything comes from the command line
  static absl::StatusOr<JobFile> Load(const std::string& path);
  // `name` stands before errors; `folder` is where relative uploads start.
  static absl::StatusOr<JobFile> Parse(const std::string& name,
                                       const std::string& text,
                                       const std::string& folder);

  // Sets a field: "training.epochs", "resources.devices[0].kind",
  // "labels.team". The value is YAML, for text fields the text itself. A member
  // of a oneof takes the place of the other one. `origin` ("--set …") stands
  // before errors.
  absl::Status Set(const std::string& path, const std::string& value,
                   const std::string& origin);

  absl::StatusOr<v1::JobSpec> ToSpec() const;

 private:
  absl::Status Located(const absl::Status& status) const;

  std::string name_;
  YamlDocument document_{Json::object(), {}};
  std::vector<std::pair<std::string, std::string>> origins_;  // path, origin
};

// Every source in the spec that is to be uploaded; they point into it.
std::vector<v1::Source*> FindUploads(v1::JobSpec* spec);

}  // namespace trainyard::trainctl
