#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "client/trainctl/cloud_estimate.h"
#include "client/trainctl/cloud_prices.h"
#include "client/trainctl/command.h"
#include "client/trainctl/job_file.h"
#include "client/trainctl/option_checks.h"
#include "client/trainctl/yaml_reader.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string job_file;
  std::string prices_file;
  std::string gpu_memory;
  std::string memory;
  CloudWork work;
};

double ToGib(uint64_t bytes) {
  return static_cast<double>(bytes) / (uint64_t{1} << 30);
}

absl::StatusOr<double> ParseGib(const std::string& flag,
                                const std::string& text) {
  absl::StatusOr<uint64_t> bytes = ParseBytes(text);
  RETURN_IF_ERROR(WithContext(bytes.status(), flag));
  return ToGib(*bytes);
}

// What the job asks of a CUDA device; flags come before it.
absl::Status TakeFromJob(const v1::JobSpec& spec, CloudWork& work) {
  for (const v1::DeviceRequest& device : spec.resources().devices()) {
    if (device.kind() != v1::DEVICE_KIND_CUDA) continue;
    if (work.gpus == 0) work.gpus = std::max(1u, device.count());
    if (work.gpu_memory_gib == 0) {
      work.gpu_memory_gib = ToGib(device.min_memory_bytes());
    }
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "resources.devices: asks for no cuda device, so a cloud's GPU is of no "
      "use to this job");
}

absl::StatusOr<CloudWork> Work(const Options& options) {
  CloudWork work = options.work;
  // The ranges of the command line let NaN pass.
  if (!std::isfinite(work.hours) || !std::isfinite(work.max_hours)) {
    return absl::InvalidArgumentError(
        "--hours and --max-hours: must be numbers from 0.001 to 100000");
  }
  if (!options.gpu_memory.empty()) {
    ASSIGN_OR_RETURN(work.gpu_memory_gib,
                     ParseGib("--gpu-memory", options.gpu_memory));
  }
  if (!options.memory.empty()) {
    ASSIGN_OR_RETURN(work.memory_gib, ParseGib("--memory", options.memory));
  }
  if (!options.job_file.empty()) {
    ASSIGN_OR_RETURN(const JobFile file, JobFile::Load(options.job_file));
    ASSIGN_OR_RETURN(const v1::JobSpec spec, file.ToSpec());
    RETURN_IF_ERROR(WithContext(TakeFromJob(spec, work), options.job_file));
  }
  if (work.gpus == 0) work.gpus = 1;
  return work;
}

absl::StatusOr<CloudPrices> Prices(const Options& options) {
  if (options.prices_file.empty()) {
    return ParseCloudPrices(BuiltInCloudPrices());
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(options.prices_file));
  absl::StatusOr<CloudPrices> prices = ParseCloudPrices(text);
  RETURN_IF_ERROR(WithContext(prices.status(), options.prices_file));
  return prices;
}

std::string GpuText(const CloudInstance& instance) {
  return absl::StrFormat("%d x %s", instance.gpus, instance.gpu);
}

std::string Dollars(double amount) { return absl::StrFormat("%.2f", amount); }

std::string FormatTable(const std::vector<CloudEstimate>& rows, bool colour) {
  Table table({"INSTANCE", "CLOUD", "MEMORY", "GPU", "$/H", "SPOT $/H", "HOURS",
               "TOTAL $", "SPOT TOTAL $", "CHOSEN"});
  for (const CloudEstimate& row : rows) {
    const CloudInstance& instance = row.instance;
    const bool fits = row.unfit.empty();
    const bool spot = instance.spot > 0;
    table.AddRow({{instance.name, row.chosen ? Colour::kGreen : Colour::kNone},
                  {instance.cloud},
                  {absl::StrFormat("%g GiB", instance.memory_gib)},
                  {GpuText(instance)},
                  {absl::StrFormat("%.3f", instance.dollars)},
                  {spot ? absl::StrFormat("%.3f", instance.spot) : "-"},
                  {fits ? absl::StrFormat("%.2f", row.hours) : "-"},
                  {fits ? Dollars(row.dollars) : "-"},
                  {fits && spot ? Dollars(row.spot_dollars) : "-"},
                  {row.chosen ? "yes" : row.unfit,
                   row.chosen ? Colour::kGreen : Colour::kDim}});
  }
  return table.Format(colour);
}

Json RowJson(const CloudEstimate& row) {
  const CloudInstance& instance = row.instance;
  Json json = {{"cloud", instance.cloud},
               {"instance", instance.name},
               {"region", instance.region},
               {"cores", instance.cores},
               {"memory_gib", instance.memory_gib},
               {"gpu", instance.gpu},
               {"gpus", instance.gpus},
               {"dollars_per_hour", instance.dollars},
               {"chosen", row.chosen}};
  if (instance.spot > 0) json["spot_dollars_per_hour"] = instance.spot;
  if (!row.unfit.empty()) {
    json["unfit"] = row.unfit;
    return json;
  }
  json["hours"] = row.hours;
  json["dollars"] = row.dollars;
  if (instance.spot > 0) json["spot_dollars"] = row.spot_dollars;
  return json;
}

absl::StatusOr<ExitCode> Estimate(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const CloudPrices prices, Prices(options));
  ASSIGN_OR_RETURN(const CloudWork work, Work(options));
  ASSIGN_OR_RETURN(const std::vector<CloudEstimate> rows,
                   EstimateCloud(prices, work));
  const bool chosen =
      std::any_of(rows.begin(), rows.end(),
                  [](const CloudEstimate& row) { return row.chosen; });
  std::ostream& out = *context.console.out;
  if (context.format == OutputFormat::kTable) {
    out << FormatTable(rows, PaintsOut(context.console)) << "prices of "
        << prices.date << " (" << prices.source
        << "); without disks and traffic. Speeds of GPUs are estimates.\n";
  } else {
    Json json = {{"prices_date", prices.date}, {"instances", Json::array()}};
    for (const CloudEstimate& row : rows) {
      json["instances"].push_back(RowJson(row));
    }
    out << FormatJson(json, context.format);
  }
  if (chosen) return ExitCode::kOk;
  return absl::NotFoundError("no instance of the price file fits");
}

}  // namespace

CommandRun AddCloud(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->work.gpus = 0;  // not given
  app.require_subcommand(1);
  CLI::App* estimate = app.add_subcommand(
      "estimate", "What work would cost on the clouds' GPU instances");
  CloudWork& work = options->work;
  estimate->add_option("job", options->job_file,
                       "Job file that says how many GPUs of what memory");
  estimate->add_option("--hours", work.hours, "Hours that one job takes")
      ->required()
      ->check(RealNumber(0.001, 100000));
  estimate->add_option("--on", work.on,
                       "GPU that --hours is for (default: T4)");
  estimate->add_option("--jobs", work.jobs, "So many such jobs")
      ->check(WholeNumber(1, 100000))
      ->capture_default_str();
  estimate->add_option("--gpus", work.gpus, "GPUs of one job (default: 1)")
      ->check(WholeNumber(1, 64));
  estimate->add_option("--gpu-memory", options->gpu_memory,
                       "Least memory of a GPU, such as 12GiB");
  estimate->add_option("--memory", options->memory,
                       "Least memory of the instance, such as 32GiB");
  estimate->add_flag("--spot", work.spot, "Choose by spot prices");
  estimate->add_option("--max-hours", work.max_hours, "Done within so long")
      ->check(RealNumber(0.001, 100000));
  estimate->add_option("--cloud", work.cloud, "Only this one")
      ->check(OneOf({"aws", "gcp", "azure"}));
  estimate->add_option("--prices", options->prices_file,
                       "Price file (default: the built-in one)");
  return [options](Context& context) { return Estimate(context, *options); };
}

}  // namespace trainyard::trainctl
