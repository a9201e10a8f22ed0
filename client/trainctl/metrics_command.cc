#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "client/trainctl/plot_metrics.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string job;
  bool follow = false;
  uint32_t tail = 0;
  uint32_t attempt = 0;
  bool plot = false;
  std::string plotted;  // names, with commas between
  std::string over = "step";
  bool ascii = false;
};

// What --plot without a value draws, where there are figures.
constexpr char kUsualMetrics[] = "loss,samples_per_second";

struct Column {
  const char* name;
  int width;  // while following, when later rows are not known
};

constexpr Column kColumns[] = {
    {"TIME", 8},   {"ATTEMPT", 7}, {"EPOCH", 5},     {"STEP", 8},
    {"LOSS", 8},   {"LR", 8},      {"SAMPLES/S", 9}, {"MEMORY", 9},
    {"DEVICE", 9}, {"UTIL", 5},    {"VAL_LOSS", 8},  {"VAL_ACC", 8},
    {"ETA", 6}};

std::vector<std::string> Header() {
  std::vector<std::string> names;
  for (const Column& column : kColumns) names.emplace_back(column.name);
  return names;
}

std::string Fixed(bool has, int digits, double value, const char* unit = "") {
  return has ? absl::StrFormat("%.*f%s", digits, value, unit) : "";
}

std::vector<Cell> Row(const v1::AttemptMetricPoint& one) {
  const v1::MetricPoint& p = one.point();
  return {
      {absl::FormatTime("%H:%M:%S", ToTime(p.time()), absl::LocalTimeZone())},
      {absl::StrCat(one.attempt())},
      {p.epoch() > 0 ? absl::StrCat(p.epoch()) : ""},
      {absl::StrCat(p.step())},
      {Fixed(p.has_loss(), 4, p.loss())},
      {p.has_learning_rate() ? absl::StrFormat("%g", p.learning_rate()) : ""},
      {p.has_samples_per_second() ? ShortNumber(p.samples_per_second()) : ""},
      {p.has_rss_bytes() ? FormatBytes(p.rss_bytes()) : ""},
      {p.has_device_memory_bytes() ? FormatBytes(p.device_memory_bytes()) : ""},
      {Fixed(p.has_utilization(), 0, p.utilization() * 100, "%")},
      {Fixed(p.has_validation_loss(), 4, p.validation_loss())},
      {Fixed(p.has_validation_accuracy(), 2, p.validation_accuracy() * 100,
             "%")},
      {p.has_eta_seconds() ? ShortDuration(absl::Seconds(p.eta_seconds()))
                           : ""}};
}

// A row by itself, in columns of the usual widths.
std::string FixedRow(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string text = cells[i].empty() ? "-" : cells[i];
    absl::StrAppendFormat(&line, "%-*s  ", kColumns[i].width, text);
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "\n";
}

absl::Status ForEachPoint(
    Context& context, const v1::StreamMetricsRequest& request,
    const std::function<void(const v1::AttemptMetricPoint&)>& take) {
  std::ostream& out = *context.console.out;
  return client::StreamMetrics(
      context.client, request, {},
      [&](const v1::StreamMetricsResponse& response) {
        for (const v1::AttemptMetricPoint& one : response.points()) take(one);
        out.flush();
        return out.good();
      });
}

// Prints points as they come.
absl::Status Follow(Context& context, const v1::StreamMetricsRequest& request) {
  std::ostream& out = *context.console.out;
  const bool table = context.format == OutputFormat::kTable;
  if (table) out << FixedRow(Header());
  return ForEachPoint(context, request, [&](const v1::AttemptMetricPoint& one) {
    if (!table) {
      out << FormatJsonItem(ToJson(one), context.format);
      return;
    }
    std::vector<std::string> cells;
    for (const Cell& cell : Row(one)) cells.push_back(cell.text);
    out << FixedRow(cells);
  });
}

absl::Status Show(Context& context, const v1::StreamMetricsRequest& request) {
  Table table(Header());
  Json list = Json::array();
  const bool as_table = context.format == OutputFormat::kTable;
  RETURN_IF_ERROR(
      ForEachPoint(context, request, [&](const v1::AttemptMetricPoint& one) {
        if (as_table) {
          table.AddRow(Row(one));
        } else {
          list.push_back(ToJson(one));
        }
      }));
  *context.console.out << (as_table ? table.Format(PaintsOut(context.console))
                                    : FormatJson(list, context.format));
  return absl::OkStatus();
}

absl::StatusOr<PlotOptions> PlotOf(const Context& context,
                                   const Options& options) {
  if (context.format != OutputFormat::kTable) {
    return absl::InvalidArgumentError(
        "--plot: draws for people; leave it out with --output json and yaml");
  }
  PlotOptions plot;
  ASSIGN_OR_RETURN(plot.metrics, FindMetrics(options.plotted));
  plot.skip_empty = options.plotted == kUsualMetrics;
  plot.over_time = options.over == "time";
  plot.ascii = options.ascii;
  return plot;
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  v1::StreamMetricsRequest request;
  PlotOptions plot;
  if (options.plot) {
    ASSIGN_OR_RETURN(plot, PlotOf(context, options));
  }
  ASSIGN_OR_RETURN(*request.mutable_job(), JobName(options.job));
  request.set_follow(options.follow);
  request.set_tail(options.tail);
  request.set_attempt(options.attempt);
  RETURN_IF_ERROR(
      CheckAttempt(context, request.job(), options.attempt, options.follow));
  if (options.plot) return PlotMetrics(context, request, plot);
  RETURN_IF_ERROR(options.follow ? Follow(context, request)
                                 : Show(context, request));
  return kOk;
}

}  // namespace

CommandRun AddMetrics(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("job", options->job, "17 or jobs/17")->required();
  app.add_flag("-f,--follow", options->follow, "Wait for more until the end");
  app.add_option("--tail", options->tail, "From the last so many points")
      ->check(WholeNumber(0, UINT32_MAX));
  app.add_option("--attempt", options->attempt, "Of one attempt only")
      ->check(WholeNumber(0, UINT32_MAX));
  CLI::Option* plot =
      app.add_option("--plot", options->plotted,
                     "Draw curves of these figures, commas between them")
          ->expected(0, 1)
          ->default_str(kUsualMetrics)
          ->type_name("METRICS");
  app.add_option("--over", options->over, "Draw over the step or the time")
      ->check(OneOf({"step", "time"}))
      ->needs(plot)
      ->capture_default_str();
  app.add_flag("--ascii", options->ascii,
               "Draw with ASCII characters, as without a UTF-8 locale")
      ->needs(plot);
  return [options, plot](Context& context) {
    options->plot = plot->count() > 0;
    return Run(context, *options);
  };
}

}  // namespace trainyard::trainctl
