// What a command of trainctl is: one file NAME_command.cc, one row in
// command_table.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/client.h"
#include "client/trainctl/console.h"
#include "client/trainctl/exit_code.h"
#include "client/trainctl/printer.h"

namespace trainyard::trainctl {

// What a command gets once the command line was read.
struct Context {
  Console& console;
  OutputFormat format = OutputFormat::kTable;
  std::string server;      // host:port
  client::Client& client;  // connects at its first call
  const CLI::App& app;     // the whole command line, for completion
};

// An error becomes "trainctl: message" and ExitCodeOf(error).
using CommandRun = std::function<absl::StatusOr<ExitCode>(Context&)>;

struct Command {
  const char* name;
  const char* summary;
  // Adds the command's options; what it returns runs the command with them.
  CommandRun (*add)(CLI::App& app);
};

absl::Span<const Command> CommandTable();

// "17", "jobs/17": "jobs/17".
absl::StatusOr<std::string> JobName(const std::string& text);
// "mini", "workers/mini": "workers/mini".
absl::StatusOr<std::string> WorkerName(const std::string& text);

// NOT_FOUND where the job has not had that attempt (0: any) and will not have
// it any more, or nobody waits for it.
absl::Status CheckAttempt(Context& context, const std::string& job,
                          uint32_t attempt, bool waits);

CommandRun AddSubmit(CLI::App& app);
CommandRun AddList(CLI::App& app);
CommandRun AddGet(CLI::App& app);
CommandRun AddWatch(CLI::App& app);
CommandRun AddLogs(CLI::App& app);
CommandRun AddMetrics(CLI::App& app);
CommandRun AddTop(CLI::App& app);
CommandRun AddCancel(CLI::App& app);
CommandRun AddWorkers(CLI::App& app);
CommandRun AddDrain(CLI::App& app);
CommandRun AddQueue(CLI::App& app);
CommandRun AddArtifacts(CLI::App& app);
CommandRun AddCloud(CLI::App& app);
CommandRun AddTokens(CLI::App& app);
CommandRun AddWhoAmI(CLI::App& app);
CommandRun AddSetup(CLI::App& app);
CommandRun AddVersion(CLI::App& app);
CommandRun AddCompletion(CLI::App& app);

}  // namespace trainyard::trainctl
