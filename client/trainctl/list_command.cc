#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {
namespace {

constexpr int kLargestPage = 1000;

struct Options {
  std::vector<std::string> states;
  std::vector<std::string> labels;
  std::string name;
  int limit = 50;
  std::string page;
};

absl::Status FillFilter(const Options& options, v1::JobFilter* filter) {
  const auto& type = *v1::Job::State_descriptor();
  for (const std::string& text : options.states) {
    const auto* value = FindEnumValue(type, text);
    if (value == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("--state ", text, ": must be one of ",
                       absl::StrJoin(ShortEnumNames(type), ", ")));
    }
    filter->add_states(static_cast<v1::Job::State>(value->number()));
  }
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--label ", label, ": must be --label NAME=VALUE"));
    }
    (*filter->mutable_labels())[label.substr(0, equals)] =
        label.substr(equals + 1);
  }
  filter->set_spec_name(options.name);
  return absl::OkStatus();
}

std::string Progress(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  if (progress.total_steps() == 0) return "";
  return absl::StrCat(progress.step() * 100 / progress.total_steps(), " %");
}

std::string Where(const v1::Job& job) {
  if (job.attempts().empty()) return "";
  const v1::Attempt& last = *job.attempts().rbegin();
  return absl::StrCat(last.worker().substr(last.worker().find('/') + 1), " ",
                      absl::StrJoin(last.devices(), ","));
}

std::string FormatTable(const v1::ListJobsResponse& list, absl::Time now,
                        bool colour) {
  Table table({"JOB", "NAME", "STATE", "PROGRESS", "WORKER", "AGE", "REASON"});
  for (const v1::Job& job : list.jobs()) {
    table.AddRow(
        {{job.name()},
         {job.spec().name()},
         StateCell(job.state()),
         {Progress(job)},
         {Where(job)},
         {job.has_submit_time() ? ShortDuration(now - ToTime(job.submit_time()))
                                : ""},
         {Shorten(job.reason(), 60)}});
  }
  return table.Format(colour);
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  v1::ListJobsRequest request;
  RETURN_IF_ERROR(FillFilter(options, request.mutable_filter()));
  request.set_page_token(options.page);
  v1::ListJobsResponse list;
  while (list.jobs_size() < options.limit) {
    request.set_page_size(
        std::min(kLargestPage, options.limit - list.jobs_size()));
    ASSIGN_OR_RETURN(v1::ListJobsResponse page,
                     context.client.ListJobs(request));
    list.mutable_jobs()->MergeFrom(page.jobs());
    list.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) break;
  }
  std::ostream& out = *context.console.out;
  if (context.format != OutputFormat::kTable) {
    Json json = ToJson(list);
    if (list.jobs().empty()) json["jobs"] = Json::array();
    out << FormatJson(json, context.format);
    return kOk;
  }
  out << FormatTable(list, context.console.clock->Now(),
                     PaintsOut(context.console));
  if (!list.next_page_token().empty()) {
    *context.console.err << "there are more: trainctl list --page "
                         << list.next_page_token() << "\n";
  }
  return kOk;
}

}  // namespace

CommandRun AddList(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--state", options->states,
                 "Only these states: queued, starting, running, succeeded, "
                 "failed, cancelled")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("STATE");
  app.add_option("--label", options->labels,
                 "Only jobs with the label NAME=VALUE; may be repeated")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME=VALUE");
  app.add_option("--name", options->name, "Only jobs of this name");
  app.add_option("--limit", options->limit, "At most so many jobs")
      ->check(WholeNumber(1, 1000000))
      ->capture_default_str();
  app.add_option("--page", options->page, "Go on after an earlier list");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
