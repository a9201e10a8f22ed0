// trainyard-worker: wiring only.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/service_notifier.h"
#include "base/status_macros.h"
#include "base/watchdog.h"
#include "workers/agent/agent.h"
#include "workers/agent/cloud/spot_watch.h"
#include "workers/agent/devices/cpu.h"
#include "workers/agent/devices/find.h"
#include "workers/agent/health.h"
#include "workers/agent/join.h"
#include "workers/agent/options.h"

namespace trainyard::agent {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

// Waits for SIGTERM and SIGINT on a thread of its own, so that no handler runs
// in the midst of other code. All threads must have them blocked.
class Signals {
 public:
  static void Block() {
    const sigset_t set = Set();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  Signals(Agent* agent, const ServiceNotifier& notifier)
      : thread_([agent, &notifier] {
          const sigset_t set = Set();
          int signal = 0;
          while (sigwait(&set, &signal) == 0 && signal != SIGUSR1) {
            spdlog::info("signal {}: leaving", signal);
            notifier.Stopping();
            agent->RequestLeave();
          }
        }) {}
  ~Signals() {
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }

 private:
  static sigset_t Set() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, signal);
    return set;
  }

  std::thread thread_;
};

// False: the process is to end. All threads have the signals blocked; macOS has
// no wait for them with a limit.
bool WaitOrLeave(absl::Duration pause) {
  constexpr absl::Duration kSlice = absl::Milliseconds(100);
  for (; pause > absl::ZeroDuration(); pause -= kSlice) {
    sigset_t pending;
    sigpending(&pending);
    if (sigismember(&pending, SIGTERM) == 1 ||
        sigismember(&pending, SIGINT) == 1) {
      return false;
    }
    absl::SleepFor(kSlice);
  }
  return true;
}

std::string NewInstanceId(std::random_device& random) {
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8),
                      absl::Hex(random(), absl::kZeroPad8));
}

// Five seconds before the machine goes.
absl::Time LeaveBy(const SpotNotice& notice, absl::Time now) {
  const absl::Time gone = notice.at.value_or(now + absl::Seconds(30));
  return std::max(gone - absl::Seconds(5), now + absl::Seconds(1));
}

absl::Status OnIdle(const CommandLine& line) {
  spdlog::info("left after {} without work",
               absl::FormatDuration(line.idle_limit));
  if (line.idle_command.empty()) return absl::OkStatus();
  const int code = std::system(line.idle_command.c_str());
  if (code == 0) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("--idle-command ", line.idle_command,
                                         ": ended with status ", code));
}

// Until it has left: asked to by a signal or a spot notice, or by itself.
absl::Status Serve(Agent& agent, const CommandLine& line,
                   const ServiceNotifier& notifier) {
  const Signals signals(&agent, notifier);
  RETURN_IF_ERROR(agent.Start());
  notifier.Ready(absl::StrCat("works for ", line.server));
  const Watchdog watchdog(notifier, [&agent, &notifier] {
    return agent.Responds(notifier.watchdog_interval());
  });
  const SpotWatch spot(line.spot, [&agent](const SpotNotice& notice) {
    const absl::Time by = LeaveBy(notice, RealClock()->Now());
    spdlog::warn("spot notice: leaving by {}", absl::FormatTime(by));
    agent.RequestLeave(by);
  });
  return agent.Run();
}

// What the worker before this one kept goes to the server under its name and
// instance: to the server it is the same worker, which comes back to finish
// leaving. False: this one is to leave too.
absl::StatusOr<bool> HandOver(AgentOptions options, const CommandLine& line,
                              WorkDir& work_dir, const DataRoots& data_roots,
                              const Devices& devices,
                              const std::shared_ptr<grpc::Channel>& channel,
                              const ServiceNotifier& notifier) {
  const Kept kept = *work_dir.kept();
  if (kept.worker != line.name) {
    spdlog::error("{} attempts that worker {} kept are dropped: this one is {}",
                  kept.attempts.size(), kept.worker, line.name);
    work_dir.ForgetKept();
    return true;
  }
  spdlog::info("hands over {} attempts that were kept", kept.attempts.size());
  options.instance_id = kept.instance;
  options.adopted = kept.attempts;
  options.on_connected = nullptr;
  Agent agent(std::move(options), &work_dir, data_roots, &devices, channel,
              RealClock());
  const absl::Status status = Serve(agent, line, notifier);
  // Replaced: another of the name came in between, so they are over.
  if (!status.ok() && !absl::IsFailedPrecondition(status)) return status;
  return !agent.asked_to_leave();
}

absl::Status Run(const CommandLine& line, const ServiceNotifier& notifier) {
  ASSIGN_OR_RETURN(const DataRoots data_roots,
                   DataRoots::Make(line.data_roots));
  ASSIGN_OR_RETURN(const Devices devices, FindDevices(line.devices));
  ASSIGN_OR_RETURN(WorkDir work_dir, WorkDir::Open(line.work_dir));
  for (const auto& device : devices) {
    spdlog::info("device {}: {}", device->Describe().id,
                 device->Describe().model);
  }
  spdlog::info("jobs may read {}", absl::StrJoin(line.data_roots, ", "));

  ASSIGN_OR_RETURN(const Security security,
                   JoinServer({.server = line.server,
                               .worker = line.name,
                               .security = line.security,
                               .token_file = work_dir.token_file()},
                              WaitOrLeave));
  const std::shared_ptr<grpc::Channel> channel =
      MakeWorkerChannel(line.server, security);

  std::random_device random;
  AgentOptions options{.name = line.name,
                       .instance_id = NewInstanceId(random),
                       .version = TRAINYARD_VERSION,
                       .server = line.server,
                       .labels = line.labels,
                       .runner = line.runner,
                       .cache_limit_bytes = line.cache_limit_bytes,
                       .cores = MakeCpuDevice()->Describe().cores,
                       .seed = random()};
  options.core.grace = line.grace;
  options.core.checkpoint_grace = line.checkpoint_grace;
  options.core.idle_limit = line.idle_limit;
  options.core.leave_limit =
      line.checkpoint_grace + 2 * line.grace + 2 * options.core.leave_timeout;
  options.on_connected = [&line] {
    std::printf("trainyard-worker %s connected to %s\n", line.name.c_str(),
                line.server.c_str());
    std::fflush(stdout);
  };
  if (work_dir.kept()) {
    ASSIGN_OR_RETURN(const bool stay,
                     HandOver(options, line, work_dir, data_roots, devices,
                              channel, notifier));
    if (!stay) return absl::OkStatus();
  }
  Agent agent(std::move(options), &work_dir, data_roots, &devices, channel,
              RealClock());
  RETURN_IF_ERROR(Serve(agent, line, notifier));
  if (agent.left_idle()) return OnIdle(line);
  return absl::OkStatus();
}

// What an installer runs before it hands the options to a service manager:
// what Run would stumble over before it asks the server for anything.
absl::Status Check(const CommandLine& line) {
  RETURN_IF_ERROR(DataRoots::Make(line.data_roots).status());
  return FindDevices(line.devices).status();
}

// The exit status, after saying what went wrong.
int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "trainyard-worker: %s\n",
               std::string(status.message()).c_str());
  return kFailed;
}

int Main(int argc, char** argv) {
  CommandLine line;
  if (const std::optional<int> exit = ParseCommandLine(argc, argv, line)) {
    return *exit;
  }
  if (line.health) {
    const absl::Status well = CheckHealth(WorkDir::HealthFileIn(line.work_dir),
                                          *line.health, RealClock()->Now());
    if (well.ok()) {
      std::puts(line.health == HealthKind::kReady ? "ready" : "live");
    }
    return Report(well);
  }
  absl::Status status =
      InitLogging("trainyard-worker", line.log_level, line.log_format);
  if (line.check) {
    if (status.ok()) status = Check(line);
    if (status.ok()) std::puts("the options are right");
    return Report(status) == 0 ? 0 : kWrongUsage;
  }
  if (status.ok()) {
    // Before any thread: it changes the environment.
    const ServiceNotifier notifier = ServiceNotifier::FromEnvironment();
    QuietGrpc();
    Signals::Block();
    status = Run(line, notifier);
  }
  return Report(status);
}

}  // namespace
}  // namespace trainyard::agent

int main(int argc, char** argv) { return trainyard::agent::Main(argc, argv); }
