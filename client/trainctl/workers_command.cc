#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "client/trainctl/command.h"
#include "trainyard/v1/fleet.pb.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string worker;
};

Cell WorkerState(const v1::Worker& worker) {
  const std::string text =
      EnumText(*v1::Worker::State_descriptor(), worker.state());
  switch (worker.state()) {
    case v1::Worker::STATE_ONLINE:
      return worker.draining() ? Cell{text + ", draining", Colour::kYellow}
                               : Cell{text, Colour::kGreen};
    case v1::Worker::STATE_LOST:
      return {text, Colour::kRed};
    default:
      return {worker.draining() ? text + ", draining" : text, Colour::kYellow};
  }
}

std::string DeviceText(const v1::Device& device) {
  std::string text = device.id();
  if (!device.model().empty()) absl::StrAppend(&text, " ", device.model());
  if (device.cores() > 0)
    absl::StrAppend(&text, ", ", device.cores(), " cores");
  if (device.memory_bytes() > 0) {
    absl::StrAppend(&text, ", ", FormatBytes(device.free_memory_bytes()),
                    " of ", FormatBytes(device.memory_bytes()), " free");
  }
  if (device.has_utilization()) {
    absl::StrAppendFormat(&text, ", %.0f %% busy", 100 * device.utilization());
  }
  if (device.has_temperature_celsius()) {
    absl::StrAppendFormat(&text, ", %.0f °C", device.temperature_celsius());
  }
  if (device.has_power_watts()) {
    absl::StrAppendFormat(&text, ", %.0f W", device.power_watts());
  }
  return text;
}

std::string DiskText(const v1::Worker& worker) {
  if (!worker.has_disk()) return "";
  return absl::StrCat(FormatBytes(worker.disk().free_bytes()), " of ",
                      FormatBytes(worker.disk().size_bytes()), " free");
}

std::string FormatTable(const v1::ListWorkersResponse& list, absl::Time now,
                        bool colour) {
  Table table({"WORKER", "STATE", "DEVICES", "DISK", "RUNNING", "SEEN",
               "VERSION", "PLATFORM"});
  for (const v1::Worker& worker : list.workers()) {
    std::vector<std::string> devices;
    for (const v1::Device& device : worker.devices()) {
      devices.push_back(DeviceText(device));
    }
    table.AddRow(
        {{worker.name()},
         WorkerState(worker),
         {absl::StrJoin(devices, "; ")},
         {DiskText(worker)},
         {absl::StrJoin(worker.attempts(), ", ")},
         {worker.has_last_seen_time()
              ? ShortDuration(now - ToTime(worker.last_seen_time())) + " ago"
              : ""},
         {worker.version()},
         {worker.platform()}});
  }
  return table.Format(colour);
}

absl::StatusOr<v1::ListWorkersResponse> ReadAll(Context& context) {
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  v1::ListWorkersResponse list;
  do {
    ASSIGN_OR_RETURN(const v1::ListWorkersResponse page,
                     context.client.ListWorkers(request));
    list.mutable_workers()->MergeFrom(page.workers());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return list;
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  v1::ListWorkersResponse list;
  if (options.worker.empty()) {
    ASSIGN_OR_RETURN(list, ReadAll(context));
  } else {
    ASSIGN_OR_RETURN(const std::string name, WorkerName(options.worker));
    ASSIGN_OR_RETURN(*list.add_workers(), context.client.GetWorker(name));
  }
  std::ostream& out = *context.console.out;
  if (context.format == OutputFormat::kTable) {
    out << FormatTable(list, context.console.clock->Now(),
                       PaintsOut(context.console));
    return kOk;
  }
  Json json = ToJson(list);
  if (list.workers().empty()) json["workers"] = Json::array();
  out << FormatJson(options.worker.empty() ? json : json["workers"][0],
                    context.format);
  return kOk;
}

}  // namespace

CommandRun AddWorkers(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("worker", options->worker, "One worker only");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
