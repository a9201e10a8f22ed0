#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/artifacts.h"
#include "client/trainctl/command.h"
#include "client/trainctl/follow_job.h"
#include "client/trainctl/job_file.h"
#include "client/trainctl/transfer_line.h"

namespace trainyard::trainctl {
namespace {

// A flag that is another way to write --set PATH=VALUE.
struct FieldFlag {
  const char* flag;
  const char* path;
  const char* help;
};

constexpr FieldFlag kFieldFlags[] = {
    {"--name", "name", "Name for people"},
    {"--architecture", "training.model.architecture",
     "Network: mlp, mnist_cnn or resnet18"},
    {"--data", "training.data.source",
     "Data: /path/on/the/worker, sha256:… or ./folder to upload"},
    {"--format", "training.data.format",
     "Data format: idx, cifar10, cifar100 or image_folder"},
    {"--epochs", "training.epochs", "Passes over the training data"},
    {"--batch-size", "training.batch_size", "Samples per step"},
    {"--optimizer", "training.optimizer.kind", "sgd, adam or adamw"},
    {"--learning-rate", "training.optimizer.learning_rate", "Learning rate"},
    {"--momentum", "training.optimizer.momentum", "Momentum, for sgd"},
    {"--weight-decay", "training.optimizer.weight_decay", "Weight decay"},
    {"--seed", "training.seed", "Seed of every random choice"},
    {"--queue", "queue", "The queue it waits in"},
    {"--user", "user", "Whom it counts for; with tokens, for admins only"},
    {"--priority", "priority", "Higher runs first, -1000 to 1000"},
    {"--max-retries", "retry.max_retries", "Attempts after the first"},
    {"--run-time", "limits.run_time", "Longest time of an attempt, as 90s, 2h"},
};

struct Options {
  std::string file;
  std::vector<std::string> fields =
      std::vector<std::string>(std::size(kFieldFlags));
  std::vector<const CLI::Option*> given;
  std::vector<std::string> devices;
  std::vector<std::string> labels;
  std::vector<std::string> sets;
  std::string request_id;
  bool dry_run = false;
  bool follow = false;
};

absl::Status SplitPair(const std::string& flag, const std::string& text,
                       std::pair<std::string, std::string>* pair) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", text, ": must be ", flag, " NAME=VALUE"));
  }
  *pair = {text.substr(0, equals), text.substr(equals + 1)};
  return absl::OkStatus();
}

bool IsEmpty(const Options& options) {
  bool empty = options.file.empty() && options.devices.empty() &&
               options.labels.empty() && options.sets.empty();
  for (const CLI::Option* field : options.given) {
    empty = empty && field->count() == 0;
  }
  return empty;
}

// Flags over the file, --set over both.
absl::StatusOr<v1::JobSpec> MakeSpec(const Options& options) {
  if (IsEmpty(options)) {
    return absl::InvalidArgumentError(
        "nothing to submit: give a job file, or flags such as --architecture, "
        "--format and --data (trainctl submit --help)");
  }
  JobFile job;
  if (!options.file.empty()) {
    ASSIGN_OR_RETURN(job, JobFile::Load(options.file));
  }
  for (size_t i = 0; i < std::size(kFieldFlags); ++i) {
    if (options.given[i]->count() == 0) continue;
    RETURN_IF_ERROR(
        job.Set(kFieldFlags[i].path, options.fields[i], kFieldFlags[i].flag));
  }
  if (!options.devices.empty()) {
    RETURN_IF_ERROR(job.Set("resources.devices", "[]", "--device"));
  }
  for (size_t i = 0; i < options.devices.size(); ++i) {
    RETURN_IF_ERROR(job.Set(absl::StrCat("resources.devices[", i, "].kind"),
                            options.devices[i], "--device"));
  }
  std::pair<std::string, std::string> pair;
  for (const std::string& label : options.labels) {
    RETURN_IF_ERROR(SplitPair("--label", label, &pair));
    RETURN_IF_ERROR(
        job.Set(absl::StrCat("labels.", pair.first), pair.second, "--label"));
  }
  for (const std::string& set : options.sets) {
    RETURN_IF_ERROR(SplitPair("--set", set, &pair));
    RETURN_IF_ERROR(job.Set(pair.first, pair.second, "--set"));
  }
  return job.ToSpec();
}

// Paths that are to be uploaded, and the artifacts that they became.
using Uploads = std::map<std::string, std::string>;

// What can be known of the uploads without reading them.
absl::StatusOr<Uploads> FindPaths(v1::JobSpec* spec) {
  Uploads uploads;
  for (const v1::Source* source : FindUploads(spec)) {
    const std::string& path = source->upload();
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      return absl::NotFoundError(absl::StrCat(
          "upload: ", path, ": ", error ? error.message() : "does not exist"));
    }
    uploads.emplace(path, "");
  }
  return uploads;
}

// A dry run uploads nothing.
absl::Status Upload(Context& context, bool dry_run, Uploads* uploads) {
  for (auto& [path, artifact] : *uploads) {
    TransferLine line(context.console, absl::StrCat("upload ", ShownPath(path)));
    absl::StatusOr<client::StoredPath> stored =
        dry_run ? client::DescribePath(path)
                : client::UploadPath(context.client, path, line.Options());
    if (!stored.ok()) return WithContext(stored.status(), "upload");
    if (dry_run) {
      const auto there = context.client.StatArtifact(stored->artifact);
      stored->sent = !there.ok() || !there->has_artifact();
    }
    line.FinishUpload(dry_run ? "would upload" : "uploaded", path, *stored);
    artifact = stored->artifact;
  }
  return absl::OkStatus();
}

void PutArtifacts(const Uploads& uploads, v1::JobSpec* spec) {
  for (v1::Source* source : FindUploads(spec)) {
    const auto it = uploads.find(source->upload());
    if (it != uploads.end()) source->set_artifact(it->second);
  }
}

absl::StatusOr<ExitCode> Print(Context& context, const v1::JobSpec& spec) {
  *context.console.out << FormatJson(
      ToJson(spec), context.format == OutputFormat::kTable ? OutputFormat::kYaml
                                                           : context.format);
  *context.console.err << "the job is good; nothing was submitted\n";
  return kOk;
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(v1::JobSpec spec, MakeSpec(options));
  ASSIGN_OR_RETURN(Uploads uploads, FindPaths(&spec));
  client::SubmitOptions submit{options.request_id, /*dry_run=*/true};
  if (submit.request_id.empty()) submit.request_id = client::NewRequestId();
  // Uploads may be long: first the server says whether the job is good.
  if (options.dry_run || !uploads.empty()) {
    ASSIGN_OR_RETURN(const v1::Job checked,
                     context.client.Submit(spec, submit));
    RETURN_IF_ERROR(Upload(context, options.dry_run, &uploads));
    // The reply's spec says more than ours.
    if (options.dry_run) spec = checked.spec();
    PutArtifacts(uploads, &spec);
    if (options.dry_run) return Print(context, spec);
  }
  submit.dry_run = false;
  const absl::StatusOr<v1::Job> job = context.client.Submit(spec, submit);
  if (!job.ok()) {
    if (ExitCodeOf(job.status()) == kUnreachable) {
      *context.console.err
          << "trainctl: the server may have taken the job; submit it again "
             "with --request-id "
          << submit.request_id << " and it is not run twice\n";
    }
    return job.status();
  }
  std::ostream& out = *context.console.out;
  const bool table = context.format == OutputFormat::kTable;
  if (table) out << job->name() << " submitted\n" << std::flush;
  if (options.follow) {
    if (!table) *context.console.err << job->name() << " submitted\n";
    return FollowJob(context, job->name(), /*history=*/true);
  }
  if (!table) out << FormatJson(ToJson(*job), context.format);
  return kOk;
}

}  // namespace

CommandRun AddSubmit(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("file", options->file,
                 "Job file in YAML or JSON; - reads standard input");
  for (size_t i = 0; i < std::size(kFieldFlags); ++i) {
    options->given.push_back(app.add_option(kFieldFlags[i].flag,
                                            options->fields[i],
                                            kFieldFlags[i].help)
                                 ->type_name("VALUE"));
  }
  app.add_option("--device", options->devices,
                 "Acceptable devices, best first: cuda, mps, cpu")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("KIND");
  app.add_option("--label", options->labels,
                 "Label NAME=VALUE; may be repeated")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME=VALUE");
  app.add_option("--set", options->sets,
                 "Set any field of the job file, as training.epochs=3; may be "
                 "repeated")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("FIELD=VALUE");
  app.add_option("--request-id", options->request_id,
                 "The same id gives the same job again, and is refused with "
                 "another job");
  app.add_flag("--dry-run", options->dry_run,
               "Check the job, here and on the server, and print it");
  app.add_flag("-f,--follow", options->follow,
               "Follow the job to its end; Ctrl-C detaches");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
