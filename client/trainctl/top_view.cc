#include "client/trainctl/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/units.h"
#include "client/trainctl/fit_table.h"
#include "client/trainctl/printer.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

constexpr double kBarColumns = 8;

std::string Line(const std::string& text, const TopScreen& screen,
                 Colour colour = Colour::kNone) {
  const std::string line =
      Shorten(absl::StrReplaceAll(Printable(text), {{"\t", " "}}),
              static_cast<size_t>(screen.width));
  return screen.colour ? Paint(line, colour) : line;
}

// "12", "200+" where there are more.
std::string Count(uint64_t count, bool more) {
  return absl::StrCat(count, more ? "+" : "");
}

std::string WorkerCounts(const TopModel& model) {
  std::map<std::string, int> states;
  int draining = 0;
  for (const v1::Worker& worker : model.workers) {
    ++states[EnumText(*v1::Worker::State_descriptor(), worker.state())];
    if (worker.draining()) ++draining;
  }
  std::vector<std::string> parts;
  for (const char* state : {"online", "silent", "left", "lost"}) {
    if (states[state] > 0) {
      parts.push_back(absl::StrCat(states[state], " ", state));
    }
  }
  if (draining > 0) parts.push_back(absl::StrCat(draining, " draining"));
  const std::string more = model.more_workers ? " of the first " : "";
  if (parts.empty()) return "none";
  return absl::StrCat(
      absl::StrJoin(parts, ", "), more,
      model.more_workers ? absl::StrCat(model.workers.size()) : "");
}

std::vector<std::string> Header(const TopModel& model,
                                const TopScreen& screen) {
  std::vector<std::string> lines;
  const bool heard = !model.version.empty();
  lines.push_back(
      Line(absl::StrCat("trainyard-server ", heard ? model.version + " " : "",
                        "on ", model.server,
                        heard ? absl::FormatTime("   %H:%M:%S", model.now,
                                                 absl::LocalTimeZone())
                              : ""),
           screen));
  if (!model.fault.empty()) {
    lines.push_back(
        Line(absl::StrCat("no answer for ", ShortDuration(model.away),
                          heard ? ", below is what was known; " : "; ",
                          "trying again: ", model.fault),
             screen, Colour::kRed));
  }
  if (!heard) return lines;
  const auto starting = std::count_if(
      model.active.begin(), model.active.end(),
      [](const auto& job) { return job.state() == v1::Job::STATE_STARTING; });
  const auto running = static_cast<int64_t>(model.active.size()) - starting;
  lines.push_back(Line(
      absl::StrCat("jobs: ", Count(model.queue.count, !model.queue.complete),
                   " queued, ",
                   Count(static_cast<uint64_t>(starting), model.more_active),
                   " starting, ",
                   Count(static_cast<uint64_t>(running), model.more_active),
                   " running   workers: ", WorkerCounts(model)),
      screen));
  return lines;
}

std::string Short(const std::string& name) {
  return name.substr(name.find('/') + 1);
}

std::string Bar(double share, bool utf8) {
  const double full = std::clamp(share, 0.0, 1.0) * kBarColumns;
  std::string bar;
  for (int i = 0; i < kBarColumns; ++i) {
    const bool on = i < std::lround(full);
    bar += utf8 ? (on ? "█" : "░") : (on ? "#" : ".");
  }
  return absl::StrCat(bar, absl::StrFormat(" %3.0f%%", 100 * share));
}

Colour LoadColour(double share) {
  return share >= 0.8 ? Colour::kGreen : Colour::kNone;
}

Cell WorkerCell(const v1::Worker& worker) {
  std::string text = EnumText(*v1::Worker::State_descriptor(), worker.state());
  const bool online = worker.state() == v1::Worker::STATE_ONLINE;
  if (worker.draining()) text += ", drains";
  return {text, worker.state() == v1::Worker::STATE_LOST ? Colour::kRed
                : online && !worker.draining()           ? Colour::kGreen
                                                         : Colour::kYellow};
}

// Which job holds a device: by worker and device.
using Holders = std::map<std::pair<std::string, std::string>, std::string>;

Holders HoldersOf(const std::vector<v1::Job>& active) {
  Holders holders;
  for (const v1::Job& job : active) {
    if (job.attempts().empty()) continue;
    const v1::Attempt& last = *job.attempts().rbegin();
    for (const std::string& device : last.devices()) {
      holders[{last.worker(), device}] = job.name();
    }
  }
  return holders;
}

// What is not known is left empty, for the table's "-".
std::vector<Cell> DeviceRow(const TopModel& model, const TopScreen& screen,
                            const Holders& holders, const v1::Worker& worker,
                            const v1::Device& device) {
  std::vector<Cell> row(8);
  row[2] = {absl::StrCat(device.id(), device.model().empty() ? "" : " ",
                         device.model())};
  const auto holder = holders.find({worker.name(), device.id()});
  if (holder != holders.end()) {
    row[3] = {holder->second, Colour::kBlue};
  } else if (!model.more_active) {
    row[3] = {"idle", Colour::kDim};
  }
  if (device.has_utilization() && std::isfinite(device.utilization())) {
    row[4] = {Bar(device.utilization(), screen.utf8),
              LoadColour(device.utilization())};
  }
  if (device.memory_bytes() > 0) {
    const uint64_t used =
        device.memory_bytes() -
        std::min(device.free_memory_bytes(), device.memory_bytes());
    row[5] = {absl::StrCat(FormatBytes(used), " of ",
                           FormatBytes(device.memory_bytes()))};
  }
  if (device.has_temperature_celsius()) {
    row[6] = {absl::StrFormat("%.0f %s", device.temperature_celsius(),
                              screen.utf8 ? "°C" : "C")};
  }
  if (device.has_power_watts()) {
    row[7] = {absl::StrFormat("%.0f W", device.power_watts())};
  }
  return row;
}

FitTable WorkerTable(const TopModel& model, const TopScreen& screen) {
  FitTable table({{"WORKER", 0, 8},
                  {"STATE", 2},
                  {"DEVICE", 0, 8},
                  {"BUSY", 3},
                  {"UTILIZATION", 1},
                  {"MEMORY", 4},
                  {"TEMP", 6, 0, true},
                  {"POWER", 5, 0, true}});
  const Holders holders = HoldersOf(model.active);
  for (const v1::Worker& worker : model.workers) {
    const Cell name = {Short(worker.name())};
    if (worker.devices().empty()) table.AddRow({name, WorkerCell(worker)});
    for (const v1::Device& device : worker.devices()) {
      std::vector<Cell> row = DeviceRow(model, screen, holders, worker, device);
      row[0] = name;
      row[1] = WorkerCell(worker);
      table.AddRow(std::move(row));
    }
  }
  return table;
}

// Steps left at the samples per second of now; empty where that is not known.
std::string Eta(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  const uint32_t batch = job.spec().has_ensemble()
                             ? job.spec().ensemble().batch_size()
                             : job.spec().training().batch_size();
  if (progress.total_steps() <= progress.step() || batch == 0 ||
      !(progress.samples_per_second() > 0)) {
    return "";
  }
  const double seconds =
      static_cast<double>(progress.total_steps() - progress.step()) * batch /
      progress.samples_per_second();
  return ShortDuration(absl::Seconds(seconds));
}

std::string Steps(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  if (!job.has_progress()) return "";
  if (progress.total_steps() == 0) return absl::StrCat(progress.step());
  return absl::StrCat(progress.step(), "/", progress.total_steps(), " ",
                      progress.step() * 100 / progress.total_steps(), "%");
}

std::vector<Cell> JobRow(const TopModel& model, const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  std::vector<Cell> row(10);
  row[0] = {job.name()};
  row[1] = {job.spec().name()};
  row[2] = StateCell(job.state());
  if (job.cancel_requested()) row[2] = {"stopping", Colour::kMagenta};
  if (!job.attempts().empty()) {
    const v1::Attempt& last = *job.attempts().rbegin();
    row[3] = {absl::StrCat(Short(last.worker()), " ",
                           absl::StrJoin(last.devices(), ","))};
  }
  row[4] = {Steps(job)};
  if (progress.epoch() > 0) row[5] = {absl::StrCat(progress.epoch())};
  // These two have no presence of their own; 0 is what was never measured.
  if (progress.loss() != 0) {
    row[6] = {absl::StrFormat("%.4f", progress.loss())};
  }
  if (progress.samples_per_second() > 0) {
    row[7] = {ShortNumber(progress.samples_per_second())};
  }
  row[8] = {Eta(job)};
  if (job.has_submit_time()) {
    row[9] = {ShortDuration(model.now - ToTime(job.submit_time()))};
  }
  return row;
}

FitTable ActiveTable(const TopModel& model) {
  FitTable table({{"JOB"},
                  {"NAME", 5, 8},
                  {"STATE", 6},
                  {"WORKER", 4, 8},
                  {"STEP", 0, 0, true},
                  {"EPOCH", 7, 0, true},
                  {"LOSS", 1, 0, true},
                  {"SAMPLES/S", 3, 0, true},
                  {"ETA", 2, 0, true},
                  {"AGE", 8, 0, true}});
  for (const v1::Job& job : model.active) table.AddRow(JobRow(model, job));
  return table;
}

FitTable QueueTable(const TopModel& model) {
  FitTable table({{"NEXT"},
                  {"NAME", 1, 8},
                  {"PRIORITY", 3, 0, true},
                  {"AGE", 2, 0, true},
                  {"WAITS BECAUSE", 0, 12}});
  for (const v1::Job& job : model.queue.next) {
    table.AddRow({{job.name()},
                  {job.spec().name()},
                  {absl::StrCat(job.spec().priority())},
                  {job.has_submit_time()
                       ? ShortDuration(model.now - ToTime(job.submit_time()))
                       : ""},
                  {job.reason()}});
  }
  return table;
}

struct Section {
  std::vector<std::string> lines;  // the header and rows; none: no section
  uint64_t more = 0;               // rows beyond those
  bool at_least = false;           // … or even more
};

Section MakeSection(const FitTable& table, uint64_t in_all, bool at_least,
                    const TopScreen& screen) {
  if (table.rows() == 0) return {};
  return {table.Lines(static_cast<size_t>(screen.width), screen.colour),
          in_all - std::min<uint64_t>(in_all, table.rows()), at_least};
}

// Lines it would take.
size_t Wish(const Section& section) {
  const bool remark = section.more > 0 || section.at_least;
  return section.lines.size() + (remark ? 1 : 0);
}

// Leaves out the last rows; one line says how many.
void Cut(size_t room, Section* section) {
  if (room == 0 || room >= Wish(*section)) return;
  const size_t kept = room - 1;
  section->more += section->lines.size() - std::max<size_t>(kept, 1);
  section->lines.resize(kept);
}

// Splits the room so that nobody gets more than it wants, nor less than the
// others unless it wants less.
std::array<size_t, 3> Share(size_t room, const std::array<size_t, 3>& wants) {
  std::array<size_t, 3> shares = {};
  for (bool gave = true; gave && room > 0;) {
    gave = false;
    for (size_t i = 0; i < wants.size() && room > 0; ++i) {
      if (shares[i] == wants[i]) continue;
      ++shares[i];
      --room;
      gave = true;
    }
  }
  return shares;
}

// With an empty line before it.
void Append(const Section& section, const TopScreen& screen,
            std::vector<std::string>* lines) {
  lines->emplace_back();
  lines->insert(lines->end(), section.lines.begin(), section.lines.end());
  if (section.more == 0 && !section.at_least) return;
  const std::string count =
      section.more == 0 ? ""
                        : absl::StrCat(section.at_least ? "at least " : "",
                                       section.more, " ");
  lines->push_back(
      Line(absl::StrCat("and ", count, "more"), screen, Colour::kDim));
}

void AppendTables(const TopModel& model, const TopScreen& screen,
                  std::vector<std::string>* lines) {
  std::array<Section, 3> sections = {
      MakeSection(WorkerTable(model, screen), 0, model.more_workers, screen),
      MakeSection(ActiveTable(model), 0, model.more_active, screen),
      MakeSection(QueueTable(model), model.queue.count, !model.queue.complete,
                  screen)};
  std::array<size_t, 3> wants = {};
  for (size_t i = 0; i < sections.size(); ++i) {
    // A section that has to go without rows goes with its empty line.
    if (!sections[i].lines.empty()) wants[i] = Wish(sections[i]) + 1;
  }
  std::array<size_t, 3> shares = wants;
  if (screen.height > 0) {
    const auto height = static_cast<size_t>(screen.height);
    shares = Share(height - std::min(height, lines->size()), wants);
  }
  for (size_t i = 0; i < sections.size(); ++i) {
    if (shares[i] < 2) continue;
    Cut(shares[i] - 1, &sections[i]);
    Append(sections[i], screen, lines);
  }
}

}  // namespace

std::vector<std::string> DrawTop(const TopModel& model,
                                 const TopScreen& given) {
  TopScreen screen = given;
  screen.width = std::max(1, given.width);
  std::vector<std::string> lines = Header(model, screen);
  if (!model.version.empty()) AppendTables(model, screen, &lines);
  if (screen.height > 0 && lines.size() > static_cast<size_t>(screen.height)) {
    lines.resize(static_cast<size_t>(screen.height));
  }
  return lines;
}

}  // namespace trainyard::trainctl
