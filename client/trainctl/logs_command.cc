#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string job;
  bool follow = false;
  uint32_t tail = 0;
  uint32_t attempt = 0;
  bool timestamps = false;
};

std::string FormatLine(const Context& context, const Options& options,
                       const v1::AttemptLogLine& one) {
  if (context.format != OutputFormat::kTable) {
    return FormatJsonItem(ToJson(one), context.format);
  }
  // A file gets the bytes, a terminal no escape sequences.
  std::string text = context.console.out_is_terminal
                         ? Printable(one.line().text())
                         : one.line().text();
  if (one.line().stream() == v1::LogLine::STREAM_WORKER) {
    text = absl::StrCat("[worker] ", text);
  }
  if (options.timestamps) {
    text = absl::StrCat(TimeText(one.line().time(), absl::LocalTimeZone()), " ",
                        text);
  }
  return text + "\n";
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  v1::StreamLogsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_job(), JobName(options.job));
  request.set_follow(options.follow);
  request.set_tail(options.tail);
  request.set_attempt(options.attempt);
  RETURN_IF_ERROR(
      CheckAttempt(context, request.job(), options.attempt, options.follow));
  std::ostream& out = *context.console.out;
  RETURN_IF_ERROR(client::StreamLogs(
      context.client, request, {}, [&](const v1::StreamLogsResponse& response) {
        if (response.gap()) {
          *context.console.err
              << "trainctl: older lines are not kept any more\n";
        }
        for (const v1::AttemptLogLine& one : response.lines()) {
          out << FormatLine(context, options, one);
        }
        out.flush();
        return out.good();
      }));
  return kOk;
}

}  // namespace

CommandRun AddLogs(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("job", options->job, "17 or jobs/17")->required();
  app.add_flag("-f,--follow", options->follow, "Wait for more until the end");
  app.add_option("--tail", options->tail, "From the last so many lines")
      ->check(WholeNumber(0, UINT32_MAX));
  app.add_option("--attempt", options->attempt, "Of one attempt only")
      ->check(WholeNumber(0, UINT32_MAX));
  app.add_flag("--timestamps", options->timestamps,
               "With the time of each line");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
