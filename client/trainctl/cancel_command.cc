#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/job_text.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::vector<std::string> jobs;
  std::string reason;
};

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  std::vector<std::string> names;
  for (const std::string& text : options.jobs) {
    ASSIGN_OR_RETURN(names.emplace_back(), JobName(text));
  }
  ExitCode code = kOk;
  for (const std::string& name : names) {
    const absl::StatusOr<v1::Job> job =
        context.client.CancelJob(name, options.reason);
    if (!job.ok()) {
      // The others are tried all the same.
      if (names.size() == 1) return job.status();
      const std::string why = Printable(job.status().message());
      *context.console.err << "trainctl: "
                           << (absl::StartsWith(why, name) ? "" : name + ": ")
                           << why << "\n";
      code = ExitCodeOf(job.status());
    } else if (context.format != OutputFormat::kTable) {
      *context.console.out << FormatJsonItem(ToJson(*job), context.format);
    } else {
      *context.console.out << name << " "
                           << (IsFinal(job->state())
                                   ? StateCell(job->state()).text
                                   : "is asked to stop")
                           << "\n";
    }
  }
  return code;
}

}  // namespace

CommandRun AddCancel(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("jobs", options->jobs, "17 or jobs/17; several")->required();
  app.add_option("--reason", options->reason, "For the record");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
