#include <memory>
#include <string>

#include "base/status_macros.h"
#include "client/trainctl/command.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string worker;
  bool undo = false;
};

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const std::string name, WorkerName(options.worker));
  ASSIGN_OR_RETURN(const v1::Worker worker,
                   context.client.DrainWorker(name, options.undo));
  if (context.format != OutputFormat::kTable) {
    *context.console.out << FormatJson(ToJson(worker), context.format);
  } else if (worker.draining()) {
    *context.console.out
        << name
        << " gets no new jobs; what runs there checkpoints and "
           "goes back to the queue\n";
  } else {
    *context.console.out << name << " is in service\n";
  }
  return kOk;
}

}  // namespace

CommandRun AddDrain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("worker", options->worker, "mini or workers/mini")->required();
  app.add_flag("--undo", options->undo, "Back into service");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
