#include "workers/agent/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

constexpr size_t kMaxPendingCommands = 64 * 1024;
constexpr size_t kReadBytes = 64 * 1024;
// How often to look for the end of a process where no descriptor tells.
constexpr int kReapIntervalMs = 20;
// Descendants that left the process group may keep the pipes open.
constexpr absl::Duration kDrainTime = absl::Seconds(2);
// Unreadable events that are remarked on, per runner.
constexpr int kMaxComplaints = 10;

// How often the system's OOM killer struck, ever. 0 where it does not tell.
uint64_t OomKills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

void BlockSigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

// The thread's own state.
class Supervisor::Loop {
 public:
  Loop(Supervisor* owner, Process process)
      : owner_(owner),
        process_(std::move(process)),
        oom_kills_(OomKills()),
        tail_(kStderrTailBytes),
        stdout_(kMaxLogLineBytes, LineSplitter::Overlong::kSplit,
                [this](std::string line) {
                  Line(v1::LogLine::STREAM_STDOUT, std::move(line));
                }),
        stderr_(kMaxLogLineBytes, LineSplitter::Overlong::kSplit,
                [this](std::string line) {
                  tail_.Add(line);
                  Line(v1::LogLine::STREAM_STDERR, std::move(line));
                }),
        events_(kMaxEventBytes, LineSplitter::Overlong::kDrop,
                [this](std::string line) { Event(line); }) {}

  ProcessExit Run() {
    std::optional<ProcessExit> exit;
    while (!exit) {
      Poll(process_.exit_fd() >= 0 ? -1 : kReapIntervalMs);
      DoWanted();
      exit = process_.Reap();
    }
    const absl::Time drain_until = absl::Now() + kDrainTime;
    while (AnyOpen() && absl::Now() < drain_until) Poll(kReapIntervalMs);
    stdout_.Finish();
    stderr_.Finish();
    events_.Finish();
    if (events_.dropped() > 0) {
      Complain(absl::StrCat(events_.dropped(), " events over ", kMaxEventBytes,
                            " bytes"));
    }
    exit->stderr_tail = tail_.Text();
    exit->out_of_memory =
        exit->signal == SIGKILL && !killed_ && OomKills() > oom_kills_;
    return *exit;
  }

 private:
  struct Source {
    int fd;
    LineSplitter* lines;
    bool open = true;
  };

  void Poll(int timeout_ms) {
    std::vector<pollfd> fds = {{owner_->wake_read_.get(), POLLIN, 0}};
    fds.push_back({process_.exit_fd(), POLLIN, 0});
    fds.push_back(
        {commands_.empty() ? -1 : process_.commands_fd(), POLLOUT, 0});
    for (const Source& source : sources_) {
      fds.push_back({source.open ? source.fd : -1, POLLIN, 0});
    }
    if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return;
    char ignored[64];
    if (fds[0].revents != 0) {
      while (read(fds[0].fd, ignored, sizeof(ignored)) > 0) {
      }
    }
    if (fds[2].revents != 0) WriteCommands();
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (fds[3 + i].revents != 0) Read(sources_[i]);
    }
  }

  void Read(Source& source) {
    const ssize_t got = read(source.fd, buffer_.data(), buffer_.size());
    if (got > 0) {
      source.lines->Append(
          absl::string_view(buffer_.data(), static_cast<size_t>(got)));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      source.open = false;
    }
  }

  void DoWanted() {
    Wanted wanted = owner_->TakeWanted();
    for (const int signal : wanted.signals) {
      killed_ = killed_ || signal == SIGKILL;
      process_.SignalGroup(signal);
    }
    if (wanted.commands.empty()) return;
    if (commands_.size() + wanted.commands.size() > kMaxPendingCommands) {
      Complain("commands: the runner does not read them");
      return;
    }
    commands_ += wanted.commands;
    WriteCommands();
  }

  void WriteCommands() {
    const ssize_t written =
        write(process_.commands_fd(), commands_.data(), commands_.size());
    if (written > 0) {
      commands_.erase(0, static_cast<size_t>(written));
    } else if (errno != EAGAIN && errno != EINTR) {
      commands_.clear();  // the runner closed its end
    }
  }

  void Event(const std::string& line) {
    if (line.empty()) return;
    absl::StatusOr<RunnerEvent> event = ParseRunnerEvent(line);
    if (!event.ok()) {
      Complain(absl::StrCat("an event: ", event.status().message()));
    } else if (const auto* unknown = std::get_if<UnknownEvent>(&*event)) {
      Complain(
          absl::StrCat("an event of unknown kind \"", unknown->name, "\""));
    } else {
      owner_->callbacks_.on_event(*std::move(event));
    }
  }

  void Line(v1::LogLine::Stream stream, std::string line) {
    owner_->callbacks_.on_line(stream, std::move(line));
  }

  void Complain(const std::string& what) {
    if (++complaints_ > kMaxComplaints) return;
    Line(v1::LogLine::STREAM_WORKER, absl::StrCat("ignored ", what));
  }

  bool AnyOpen() const {
    return std::any_of(sources_.begin(), sources_.end(),
                       [](const Source& source) { return source.open; });
  }

  Supervisor* const owner_;
  Process process_;
  const uint64_t oom_kills_;
  LineTail tail_;
  LineSplitter stdout_, stderr_, events_;
  std::vector<Source> sources_ = {{process_.events_fd(), &events_},
                                  {process_.stdout_fd(), &stdout_},
                                  {process_.stderr_fd(), &stderr_}};
  std::string buffer_ = std::string(kReadBytes, '\0');
  std::string commands_;  // not written yet
  bool killed_ = false;
  int complaints_ = 0;
};

Supervisor::Supervisor(ProcessSpec spec, SupervisorCallbacks callbacks)
    : spec_(std::move(spec)), callbacks_(std::move(callbacks)) {
  int fds[2] = {-1, -1};
  if (pipe(fds) == 0) {
    for (const int fd : fds) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      fcntl(fd, F_SETFL, O_NONBLOCK);
    }
  }
  wake_read_.Reset(fds[0]);
  wake_write_.Reset(fds[1]);
  thread_ = std::thread([this] {
    BlockSigpipe();
    if (!wake_read_.valid()) {
      callbacks_.on_exit(absl::InternalError("cannot make a pipe"), {});
      return;
    }
    absl::StatusOr<Process> process = Process::Start(spec_);
    if (!process.ok()) {
      callbacks_.on_exit(process.status(), {});
      return;
    }
    callbacks_.on_start(process->pid());
    ProcessExit exit = Loop(this, *std::move(process)).Run();
    callbacks_.on_exit(absl::OkStatus(), std::move(exit));
  });
}

Supervisor::~Supervisor() {
  Signal(SIGKILL);
  thread_.join();
}

void Supervisor::SendCommand(std::string command) {
  {
    absl::MutexLock lock(&mutex_);
    wanted_.commands += command + "\n";
  }
  Wake();
}

void Supervisor::Signal(int signal) {
  {
    absl::MutexLock lock(&mutex_);
    wanted_.signals.push_back(signal);
  }
  Wake();
}

void Supervisor::Wake() {
  const char byte = 0;
  // A full pipe wakes just as well.
  [[maybe_unused]] const ssize_t written = write(wake_write_.get(), &byte, 1);
}

Supervisor::Wanted Supervisor::TakeWanted() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(wanted_, {});
}

}  // namespace trainyard::agent
