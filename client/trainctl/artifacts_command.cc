#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "client/artifacts.h"
#include "client/folder_manifest.h"
#include "client/sha256.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "client/trainctl/transfer_line.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  int limit = 100;
  std::string page;
  std::string path;
  std::string source;
  std::string job;
  std::string out;
  bool force = false;
};

// What is in the way of a download, and what to do.
absl::Status Hinted(const absl::Status& status) {
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::AlreadyExistsError(absl::StrCat(
      status.message(), ": --out writes elsewhere, --force overwrites it"));
}

absl::StatusOr<ExitCode> List(Context& context, const Options& options) {
  v1::ListArtifactsRequest request;
  request.set_page_size(options.limit);
  request.set_page_token(options.page);
  ASSIGN_OR_RETURN(const v1::ListArtifactsResponse list,
                   context.client.ListArtifacts(request));
  if (context.format != OutputFormat::kTable) {
    Json json = ToJson(list);
    if (list.artifacts().empty()) json["artifacts"] = Json::array();
    *context.console.out << FormatJson(json, context.format);
    return kOk;
  }
  Table table({"ARTIFACT", "SIZE", "CREATED", "NAME"});
  for (const v1::Artifact& artifact : list.artifacts()) {
    table.AddRow({{artifact.name()},
                  {FormatBytes(artifact.size_bytes())},
                  {artifact.has_create_time()
                       ? TimeText(artifact.create_time(), absl::LocalTimeZone())
                       : ""},
                  {artifact.display_name()}});
  }
  *context.console.out << table.Format(PaintsOut(context.console));
  if (!list.next_page_token().empty()) {
    *context.console.err << "there are more: trainctl artifacts list --page "
                         << list.next_page_token() << "\n";
  }
  return kOk;
}

Json StoredJson(const client::StoredPath& stored, const std::string& path) {
  return Json{{"artifact", stored.artifact},
              {"path", path},
              {"folder", stored.folder},
              {"files", stored.files},
              {"size_bytes", stored.size_bytes}};
}

absl::StatusOr<ExitCode> Upload(Context& context, const Options& options) {
  TransferLine line(context.console, absl::StrCat("upload ", options.path));
  ASSIGN_OR_RETURN(
      const client::StoredPath stored,
      client::UploadPath(context.client, options.path, line.Options()));
  line.FinishUpload("uploaded", options.path, stored);
  *context.console.out << (context.format == OutputFormat::kTable
                               ? stored.artifact + "\n"
                               : FormatJson(StoredJson(stored, options.path),
                                            context.format));
  return kOk;
}

absl::StatusOr<client::StoredPath> Fetch(Context& context,
                                         const std::string& artifact,
                                         const std::string& path, bool force) {
  TransferLine line(context.console, absl::StrCat("download ", path));
  client::TransferOptions options = line.Options();
  options.overwrite = force;
  const absl::StatusOr<client::StoredPath> stored =
      client::DownloadPath(context.client, artifact, path, options);
  if (!stored.ok()) return Hinted(stored.status());
  line.Finish(absl::StrCat(path, ": ", FormatBytes(stored->size_bytes)));
  return stored;
}

// All outputs of a job into a folder.
absl::StatusOr<Json> FetchOutputs(Context& context, const std::string& name,
                                  const std::string& folder, bool force) {
  ASSIGN_OR_RETURN(const v1::Job job, context.client.GetJob(name));
  if (job.outputs().empty()) {
    return absl::NotFoundError(absl::StrCat(
        name, " has left no outputs; it is ", StateCell(job.state()).text));
  }
  const auto path_of = [&](const v1::Output& output) {
    return (std::filesystem::path(folder) / output.name()).string();
  };
  // All of them or none.
  for (const v1::Output& output : job.outputs()) {
    // Names come from the job's machine.
    RETURN_IF_ERROR(WithContext(client::CheckRelativePath(output.name()),
                                absl::StrCat(name, ": output")));
    if (force) continue;
    RETURN_IF_ERROR(
        Hinted(client::CheckNotInTheWay(path_of(output), output.artifact())));
  }
  Json files = Json::array();
  for (const v1::Output& output : job.outputs()) {
    const std::string path = path_of(output);
    ASSIGN_OR_RETURN(const client::StoredPath stored,
                     Fetch(context, output.artifact(), path, force));
    files.push_back(StoredJson(stored, path));
  }
  return files;
}

absl::StatusOr<ExitCode> Download(Context& context, const Options& options) {
  const bool artifact = client::IsArtifactName(options.source);
  Json files = Json::array();
  if (artifact) {
    const std::string path =
        options.out.empty() ? options.source.substr(7, 16) : options.out;
    ASSIGN_OR_RETURN(const client::StoredPath stored,
                     Fetch(context, options.source, path, options.force));
    files.push_back(StoredJson(stored, path));
  } else {
    const std::string& job = options.job.empty() ? options.source : options.job;
    const absl::StatusOr<std::string> name = JobName(job);
    if (!name.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", job,
          "\": must be an artifact (\"sha256:\" and 64 hex digits) or a job "
          "(17, jobs/17)"));
    }
    const std::string folder = options.out.empty()
                                   ? absl::StrCat("job-", name->substr(5))
                                   : options.out;
    ASSIGN_OR_RETURN(files,
                     FetchOutputs(context, *name, folder, options.force));
  }
  if (context.format != OutputFormat::kTable) {
    *context.console.out << FormatJson(files, context.format);
    return kOk;
  }
  for (const Json& file : files) {
    *context.console.out << file["path"].get<std::string>() << "\n";
  }
  return kOk;
}

}  // namespace

CommandRun AddArtifacts(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(1);
  CLI::App* list = app.add_subcommand("list", "List artifacts, newest first");
  list->add_option("--limit", options->limit, "At most so many")
      ->check(WholeNumber(1, 1000))
      ->capture_default_str();
  list->add_option("--page", options->page, "Go on after an earlier list");

  CLI::App* upload = app.add_subcommand(
      "upload", "Upload a file or a folder; prints its artifact");
  upload->add_option("path", options->path, "File or folder")->required();

  CLI::App* download = app.add_subcommand(
      "download", "Download an artifact, or all outputs of a job");
  auto* source =
      download->add_option("source", options->source, "sha256:… or a job");
  auto* job = download->add_option("--job", options->job, "17 or jobs/17");
  source->excludes(job);
  download->add_option(
      "-o,--out", options->out,
      "Where to: a folder for a job (default job-17), else the file or folder");
  download->add_flag("--force", options->force,
                     "Overwrite files that have other content");
  download->callback([source, job] {
    if (source->count() + job->count() == 0) {
      throw CLI::RequiredError("an artifact or a job");
    }
  });
  return [options, list, upload](Context& context) {
    if (list->parsed()) return List(context, *options);
    if (upload->parsed()) return Upload(context, *options);
    return Download(context, *options);
  };
}

}  // namespace trainyard::trainctl
