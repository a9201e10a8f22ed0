#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::trainctl {
namespace {

// What `queue set` was given; nullopt: stays as it is. "none" lifts a limit.
struct Options {
  std::string queue;
  std::optional<std::string> weight;
  std::optional<std::string> state;
  std::optional<std::string> owner;
  std::optional<std::string> devices;
  std::optional<std::string> running_jobs;
  std::optional<std::string> device_hours;
};

absl::Status Wrong(absl::string_view option, absl::string_view value,
                   absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", value, ": must be ", want));
}

// "team", "queues/team": "queues/team".
absl::StatusOr<std::string> QueueName(const std::string& text) {
  const std::string name(absl::StripPrefix(text, "queues/"));
  if (!name.empty() && name.size() <= 63 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
          std::string::npos) {
    return absl::StrCat("queues/", name);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "queue \"", text,
      "\": must be 1 to 63 lower-case letters, digits and '-', such as team or "
      "queues/team"));
}

std::string KindText(v1::DeviceKind kind) {
  return EnumText(*v1::DeviceKind_descriptor(), kind);
}

// ---- what is shown

Cell StateText(const v1::Queue& queue) {
  const std::string text =
      EnumText(*v1::Queue::State_descriptor(), queue.state());
  switch (queue.state()) {
    case v1::Queue::STATE_OPEN:
      return {text, Colour::kGreen};
    case v1::Queue::STATE_CLOSED:
      return {text, Colour::kRed};
    default:
      return {text, Colour::kYellow};
  }
}

std::string DevicesText(const v1::QueueUsage& usage) {
  std::vector<std::string> parts;
  for (const v1::HeldDevices& devices : usage.devices()) {
    parts.push_back(absl::StrFormat("%d %s (%.1f lately)", devices.held(),
                                    KindText(devices.kind()), devices.mean()));
  }
  return absl::StrJoin(parts, ", ");
}

std::string QuotaText(const v1::Quota& quota) {
  std::vector<std::string> parts;
  for (const v1::DeviceQuota& devices : quota.devices()) {
    parts.push_back(
        absl::StrCat(devices.count(), " ", KindText(devices.kind())));
  }
  if (quota.has_running_jobs()) {
    parts.push_back(absl::StrCat(quota.running_jobs(), " running"));
  }
  if (quota.has_device_hours()) {
    parts.push_back(absl::StrCat(quota.device_hours(), " device-hours"));
  }
  return parts.empty() ? "-" : absl::StrJoin(parts, ", ");
}

// Of the queue's share for its weight: who has the smallest comes next.
std::string ShareText(double share) { return absl::StrFormat("%.3f", share); }

std::string FormatQueues(const std::vector<v1::Queue>& queues, bool colour) {
  Table table({"QUEUE", "STATE", "WEIGHT", "WAITING", "RUNNING", "DEVICES",
               "HOURS", "SHARE/WEIGHT", "QUOTA", "OWNER"});
  for (const v1::Queue& queue : queues) {
    const v1::QueueUsage& usage = queue.usage();
    table.AddRow({{queue.name()},
                  StateText(queue),
                  {absl::StrCat(queue.weight())},
                  {absl::StrCat(usage.waiting_jobs())},
                  {absl::StrCat(usage.running_jobs())},
                  {DevicesText(usage)},
                  {absl::StrFormat("%.1f", usage.device_hours())},
                  {ShareText(usage.share() / queue.weight())},
                  {QuotaText(queue.quota())},
                  {queue.owner()}});
  }
  return table.Format(colour);
}

std::string FormatUsers(const v1::Queue& queue, bool colour) {
  Table table({"USER", "WAITING", "RUNNING", "DEVICES", "SHARE"});
  for (const v1::UserUsage& user : queue.users()) {
    const v1::QueueUsage& usage = user.usage();
    table.AddRow({{user.user().empty() ? "(nobody named)" : user.user()},
                  {absl::StrCat(usage.waiting_jobs())},
                  {absl::StrCat(usage.running_jobs())},
                  {DevicesText(usage)},
                  {ShareText(usage.share())}});
  }
  return table.empty() ? "" : absl::StrCat("\n", table.Format(colour));
}

absl::StatusOr<ExitCode> Print(Context& context, const v1::Queue& queue) {
  std::ostream& out = *context.console.out;
  if (context.format == OutputFormat::kTable) {
    const bool colour = PaintsOut(context.console);
    out << FormatQueues({queue}, colour) << FormatUsers(queue, colour);
  } else {
    out << FormatJson(ToJson(queue), context.format);
  }
  return kOk;
}

absl::StatusOr<ExitCode> List(Context& context) {
  ASSIGN_OR_RETURN(const v1::ListQueuesResponse list,
                   context.client.ListQueues());
  std::ostream& out = *context.console.out;
  if (context.format == OutputFormat::kTable) {
    out << FormatQueues({list.queues().begin(), list.queues().end()},
                        PaintsOut(context.console));
  } else {
    out << FormatJson(ToJson(list), context.format);
  }
  return kOk;
}

absl::StatusOr<ExitCode> Get(Context& context, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string name, QueueName(text));
  ASSIGN_OR_RETURN(const v1::Queue queue, context.client.GetQueue(name));
  return Print(context, queue);
}

// ---- what is set

absl::Status SetDevices(const std::string& text, v1::Quota* quota) {
  quota->clear_devices();
  if (text == "none") return absl::OkStatus();
  constexpr absl::string_view kWant =
      "none, or such as cuda=4 or cuda=4,cpu=2 (kinds: cpu, cuda, mps)";
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<std::string> pair = absl::StrSplit(part, '=');
    v1::DeviceKind kind = v1::DEVICE_KIND_UNSPECIFIED;
    for (const v1::DeviceKind one :
         {v1::DEVICE_KIND_CPU, v1::DEVICE_KIND_CUDA, v1::DEVICE_KIND_MPS}) {
      if (KindText(one) == pair[0]) kind = one;
    }
    uint32_t count = 0;
    if (kind == v1::DEVICE_KIND_UNSPECIFIED || pair.size() != 2 ||
        !absl::SimpleAtoi(pair[1], &count)) {
      return Wrong("--max-devices", text, kWant);
    }
    v1::DeviceQuota* devices = quota->add_devices();
    devices->set_kind(kind);
    devices->set_count(count);
  }
  return absl::OkStatus();
}

absl::Status Apply(const Options& options, v1::Queue* queue) {
  if (options.weight.has_value()) {
    double weight = 0;
    if (!absl::SimpleAtod(*options.weight, &weight)) {
      return Wrong("--weight", *options.weight, "a number above 0, such as 2");
    }
    queue->set_weight(weight);
  }
  if (options.state.has_value()) {
    queue->clear_state();
    for (const v1::Queue::State state :
         {v1::Queue::STATE_OPEN, v1::Queue::STATE_DRAINING,
          v1::Queue::STATE_CLOSED}) {
      if (EnumText(*v1::Queue::State_descriptor(), state) == *options.state) {
        queue->set_state(state);
      }
    }
    if (queue->state() == v1::Queue::STATE_UNSPECIFIED) {
      return Wrong("--state", *options.state, "open, draining or closed");
    }
  }
  if (options.owner.has_value()) queue->set_owner(*options.owner);
  v1::Quota* quota = queue->mutable_quota();
  if (options.devices.has_value()) {
    RETURN_IF_ERROR(SetDevices(*options.devices, quota));
  }
  if (options.running_jobs.has_value()) {
    uint32_t jobs = 0;
    quota->clear_running_jobs();
    if (absl::SimpleAtoi(*options.running_jobs, &jobs)) {
      quota->set_running_jobs(jobs);
    } else if (*options.running_jobs != "none") {
      return Wrong("--max-running", *options.running_jobs,
                   "none or a whole number of jobs");
    }
  }
  if (options.device_hours.has_value()) {
    double hours = 0;
    quota->clear_device_hours();
    if (absl::SimpleAtod(*options.device_hours, &hours)) {
      quota->set_device_hours(hours);
    } else if (*options.device_hours != "none") {
      return Wrong("--max-device-hours", *options.device_hours,
                   "none or a number of hours");
    }
  }
  return absl::OkStatus();
}

// What is not given stays as it is, or is the default of a new queue.
absl::StatusOr<ExitCode> Set(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const std::string name, QueueName(options.queue));
  absl::StatusOr<v1::Queue> queue = context.client.GetQueue(name);
  if (absl::IsNotFound(queue.status())) {
    queue.emplace();
    queue->set_name(name);
  }
  RETURN_IF_ERROR(queue.status());
  RETURN_IF_ERROR(Apply(options, &*queue));
  ASSIGN_OR_RETURN(*queue, context.client.SetQueue(*queue));
  return Print(context, *queue);
}

absl::StatusOr<ExitCode> Delete(Context& context, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string name, QueueName(text));
  RETURN_IF_ERROR(context.client.DeleteQueue(name));
  if (context.format == OutputFormat::kTable) {
    *context.console.out << name << " is deleted\n";
  }
  return kOk;
}

absl::StatusOr<ExitCode> ResetHours(Context& context, const std::string& text) {
  ASSIGN_OR_RETURN(const std::string name, QueueName(text));
  ASSIGN_OR_RETURN(const v1::Queue queue, context.client.ResetQueueHours(name));
  return Print(context, queue);
}

void AddSetOptions(CLI::App* set, Options* options) {
  set->add_option("--weight", options->weight,
                  "Its part of the fleet against other queues' [1]");
  set->add_option("--state", options->state,
                  "open, draining (takes no more jobs) or closed (places none "
                  "either) [open]");
  set->add_option("--owner", options->owner, "Whom to ask about it");
  set->add_option("--max-devices", options->devices,
                  "Most devices at a time, such as cuda=4,cpu=2; none: no "
                  "limit");
  set->add_option("--max-running", options->running_jobs,
                  "Most running jobs at a time; none: no limit");
  set->add_option("--max-device-hours", options->device_hours,
                  "Most devices times hours until reset-hours; none: no limit");
}

}  // namespace

CommandRun AddQueue(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(0, 1);
  app.add_subcommand("list", "All queues [what queue alone does]");
  CLI::App* get = app.add_subcommand("get", "One queue and its users");
  CLI::App* set =
      app.add_subcommand("set", "Make a queue, or change what is given of one");
  CLI::App* drop = app.add_subcommand("delete", "Delete a queue without jobs");
  CLI::App* reset =
      app.add_subcommand("reset-hours", "Count its device-hours anew");
  for (CLI::App* sub : {get, set, drop, reset}) {
    sub->add_option("queue", options->queue, "team or queues/team")->required();
  }
  AddSetOptions(set, options.get());
  return [options, get, set, drop, reset](Context& context) {
    if (get->parsed()) return Get(context, options->queue);
    if (set->parsed()) return Set(context, *options);
    if (drop->parsed()) return Delete(context, options->queue);
    if (reset->parsed()) return ResetHours(context, options->queue);
    return List(context);
  };
}

}  // namespace trainyard::trainctl
