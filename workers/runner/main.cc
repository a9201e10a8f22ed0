// trainyard-runner: one process that works on one attempt of a job. The
// protocol is docs/runner_protocol.md.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/log.h"
#include "spdlog/spdlog.h"
#include "workers/runner/ensemble/ensemble_loop.h"
#include "workers/runner/events.h"
#include "workers/runner/mailbox.h"
#include "workers/runner/options.h"
#include "workers/runner/predict.h"
#include "workers/runner/spec.h"
#include "workers/runner/train_loop.h"

namespace trainyard::runner {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

// Ends at once, without the destructors of LibTorch's and OpenMP's threads,
// which may hang or crash after the work is done. Everything is on disk.
[[noreturn]] void Exit(int status) {
  spdlog::shutdown();
  std::fflush(nullptr);
  _exit(status);
}

// SIGTERM ends the process at once, which is what the protocol asks for; a
// broken pipe is an error of write(). Neither may be inherited otherwise.
void SetUpSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Tensors of the same sizes come and go at every step: keep their memory
// instead of giving it back to the system and faulting it in again.
void KeepFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

// OpenMP's and OpenBLAS's threads spin while they wait, each against the other
// and against whatever else the machine does: measured on two busy cores,
// training mnist_cnn was 10 times slower for it, on two free ones 1.7 times. So
// they are told to sleep. They read the environment when the program is loaded:
// set it and start over. A caller who sets it decides (and saves the restart).
void LetThreadsSleep(char** argv) {
#ifdef __linux__
  bool changed = false;
  if (std::getenv("GOMP_SPINCOUNT") == nullptr &&
      std::getenv("OMP_WAIT_POLICY") == nullptr) {
    changed = setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0) == 0;
  }
  if (std::getenv("OPENBLAS_THREAD_TIMEOUT") == nullptr) {
    // 2^4 cycles.
    changed = setenv("OPENBLAS_THREAD_TIMEOUT", "4", /*overwrite=*/0) == 0;
  }
  char program[4096];
  const ssize_t length =
      readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (!changed || length <= 0) return;
  program[length] = '\0';
  execv(program, argv);  // comes back only where it fails: then it goes on
#endif
}

int Run(const Options& options) {
  Events events(options.events_fd, EventTimeouts());
  Mailbox mailbox;
  const auto fail = [&events](const absl::Status& why) {
    spdlog::error("{}", std::string(why.message()));
    if (const absl::Status told = events.Failed(why); !told.ok()) {
      spdlog::error("{}", std::string(told.message()));
    }
    return kFailed;
  };
  const absl::StatusOr<Spec> spec = ReadSpec(options.spec);
  if (!spec.ok()) return fail(spec.status());
  std::unique_ptr<CommandReader> reader;
  if (options.commands_fd >= 0) {
    reader = std::make_unique<CommandReader>(options.commands_fd, &mailbox, [] {
      spdlog::error("the worker is gone: the commands have ended");
      Exit(kFailed);
    });
  }
  const RunPorts ports = {
      .clock = RealClock(), .events = &events, .mailbox = &mailbox};
  const absl::StatusOr<RunEnd> end = spec->ensemble.has_value()
                                         ? RunEnsemble(*spec, ports)
                                         : Train(*spec, ports);
  return end.ok() ? 0 : fail(end.status());
}

int Main(int argc, char** argv) {
  const absl::StatusOr<Options> options =
      ParseOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) {
    std::fprintf(stderr, "trainyard-runner: %s\n\n%s",
                 std::string(options.status().message()).c_str(), UsageText());
    return kWrongUse;
  }
  if (options->mode == Mode::kHelp) {
    std::fputs(UsageText(), stdout);
    return 0;
  }
  if (options->mode == Mode::kVersion) {
    std::printf("trainyard-runner %s, LibTorch %s\n", TRAINYARD_VERSION,
                TRAINYARD_TORCH_VERSION);
    return 0;
  }
  LetThreadsSleep(argv);
  // Before anything is opened, which could take a missing descriptor's number.
  const bool runs = options->mode == Mode::kRun;
  for (const int descriptor : {options->events_fd, options->commands_fd}) {
    if (runs && descriptor >= 0 && fcntl(descriptor, F_GETFD) < 0) {
      std::fprintf(
          stderr,
          "trainyard-runner: descriptor %d is not open; a worker opens "
          "3 and 4\n\n%s",
          descriptor, UsageText());
      return kWrongUse;
    }
  }
  SetUpSignals();
  KeepFreedMemory();
  if (const absl::Status log = InitLogging("trainyard-runner", "info", "text");
      !log.ok()) {
    std::fprintf(stderr, "%s\n", log.ToString().c_str());
    return kWrongUse;
  }
  if (runs) return Run(*options);
  const absl::Status predicted = Predict(options->predict);
  if (!predicted.ok()) spdlog::error("{}", std::string(predicted.message()));
  return predicted.ok() ? 0 : kFailed;
}

}  // namespace
}  // namespace trainyard::runner

int main(int argc, char** argv) {
  trainyard::runner::Exit(trainyard::runner::Main(argc, argv));
}
