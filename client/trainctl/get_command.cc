#include <memory>
#include <string>

#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/job_text.h"
#include "client/trainctl/progress_line.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string job;
  bool spec = false;
};

// Accuracy of an ensemble, which its last point has; empty: none. Without the
// figure the rest is worth showing, so errors count for nothing.
std::string Result(Context& context, const v1::Job& job) {
  if (!job.spec().has_ensemble() || job.state() != v1::Job::STATE_SUCCEEDED) {
    return "";
  }
  v1::StreamMetricsRequest request;
  request.set_job(job.name());
  request.set_tail(1);
  std::string result;
  client::StreamMetrics(context.client, request, {},
                        [&](const v1::StreamMetricsResponse& response) {
                          for (const auto& one : response.points()) {
                            result = ValidationLine(one.point());
                          }
                          return true;
                        })
      .IgnoreError();
  return result;
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const std::string name, JobName(options.job));
  ASSIGN_OR_RETURN(const v1::Job job, context.client.GetJob(name));
  std::ostream& out = *context.console.out;
  const bool table = context.format == OutputFormat::kTable;
  if (options.spec) {
    out << FormatJson(ToJson(job.spec()),
                      table ? OutputFormat::kYaml : context.format);
  } else if (table) {
    out << DescribeJob(job, Result(context, job), context.console.clock->Now(),
                       absl::LocalTimeZone(), PaintsOut(context.console));
  } else {
    out << FormatJson(ToJson(job), context.format);
  }
  return kOk;
}

}  // namespace

CommandRun AddGet(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("job", options->job, "17 or jobs/17")->required();
  app.add_flag("--spec", options->spec,
               "Only what was asked for: a job file to submit again");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
