// trainyard-server: queues training jobs and sends them to workers.
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/service_notifier.h"
#include "base/watchdog.h"
#include "server/adapters/http_port.h"
#include "server/app.h"
#include "server/server_flags.h"

namespace trainyard {
namespace {

// Exit statuses: 0 stopped on request, 1 could not start, 2 wrong usage.
constexpr int kCannotStart = 1;
constexpr int kWrongUsage = 2;

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "trainyard-server: %s\n",
               std::string(status.message()).c_str());
  return code;
}

// SIGTERM and SIGINT, kept from every thread so that main can wait for them.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Run(const ServerFlags& flags) {
  const ServiceNotifier notifier = ServiceNotifier::FromEnvironment();
  const sigset_t signals = BlockStopSignals();
  auto app = App::Start(flags);
  if (!app.ok()) return Fail(app.status(), kCannotStart);
  if (!(*app)->metrics_address().empty()) {
    spdlog::info("metrics are at {}://{}/metrics",
                 flags.tls.on() ? "https" : "http", (*app)->metrics_address());
  }
  spdlog::info("version {}, state in {}, worker lease {}", TRAINYARD_VERSION,
               flags.state_dir, absl::FormatDuration(flags.worker_lease));
  // Scripts and tests wait for this line and take the port from it.
  std::printf("trainyard-server listening on %s\n", (*app)->address().c_str());
  std::fflush(stdout);

  notifier.Ready(absl::StrCat("listening on ", (*app)->address()));
  std::optional<Watchdog> watchdog;
  watchdog.emplace(notifier, [&app, &notifier] {
    return (*app)->Responds(notifier.watchdog_interval());
  });

  int signal = 0;
  sigwait(&signals, &signal);
  notifier.Stopping();
  watchdog.reset();
  spdlog::info("stopping on {}", signal == SIGINT ? "SIGINT" : "SIGTERM");
  // A second signal ends the process at once; what was acknowledged is on disk.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*app)->Stop();
  *app = nullptr;
  spdlog::info("stopped");
  return 0;
}

// What a container's health check runs.
int CheckHealth(const ServerFlags& flags) {
  const absl::Status status =
      adapters::AskReady(flags.metrics_address, absl::Seconds(2));
  if (!status.ok()) return Fail(status, kCannotStart);
  std::puts("ready");
  return 0;
}

// What an installer runs before it hands the options to a service manager.
int CheckOnly(const ServerFlags& flags) {
  const absl::Status status = CheckFiles(flags);
  if (!status.ok()) return Fail(status, kWrongUsage);
  std::puts("the options are right");
  return 0;
}

int Main(int argc, char** argv) {
  const absl::StatusOr<ServerFlags> flags = ParseFlags(argc, argv);
  if (!flags.ok()) return Fail(flags.status(), kWrongUsage);
  if (!flags->exit_text.empty()) {
    std::fputs(flags->exit_text.c_str(), stdout);
    return 0;
  }
  if (flags->health) return CheckHealth(*flags);
  if (absl::Status status =
          InitLogging("trainyard-server", flags->log_level, flags->log_format);
      !status.ok()) {
    return Fail(status, kWrongUsage);
  }
  if (flags->check) return CheckOnly(*flags);
  umask(077);
#ifdef NDEBUG
  // Debian builds Abseil with its search for deadlocks, which would take a
  // fifth of our time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  signal(SIGPIPE, SIG_IGN);
  return Run(*flags);
}

}  // namespace
}  // namespace trainyard

int main(int argc, char** argv) { return trainyard::Main(argc, argv); }
