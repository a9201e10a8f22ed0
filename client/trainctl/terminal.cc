#include "client/trainctl/terminal.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace trainyard::trainctl {
namespace {

// Alternate screen, no cursor, and lines that are too long are cut, not folded.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr char kLeave[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

constexpr std::array<int, 8> kEndings = {SIGTERM, SIGHUP, SIGQUIT, SIGABRT,
                                         SIGSEGV, SIGBUS, SIGFPE,  SIGILL};

// What signal handlers need. Those that are not sig_atomic_t are written
// while no handler is set.
volatile sig_atomic_t taken = 0;
volatile sig_atomic_t resumed = 0;
bool has_keys = false;
termios before = {};
struct sigaction old_stop = {};

// For handlers: no allocation, and errno as it was.
void WriteAll(const char* text, size_t size) {
  const int error = errno;
  while (size > 0) {
    const ssize_t written = write(STDOUT_FILENO, text, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;  // the terminal is gone
    text += written;
    size -= static_cast<size_t>(written);
  }
  errno = error;
}

void Take() {
  if (has_keys) {
    termios raw = before;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C stays
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  WriteAll(kEnter, sizeof(kEnter) - 1);
  taken = 1;
}

void OnEnding(int number) {
  RestoreTerminal();
  raise(number);  // by now the default again, which ends the program
}

struct sigaction StopAction();

// Ctrl-Z: the shell gets its terminal as it was, and `fg` takes it again.
void OnStop(int) {
  const int error = errno;
  RestoreTerminal();
  sigaction(SIGTSTP, &old_stop, nullptr);
  sigset_t stop, mask;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stop, &mask);  // stops here
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  const struct sigaction action = StopAction();
  sigaction(SIGTSTP, &action, nullptr);
  Take();
  resumed = 1;
  errno = error;
}

struct sigaction StopAction() {
  struct sigaction action = {};
  action.sa_handler = OnStop;
  return action;
}

class Terminal : public Screen {
 public:
  Terminal() {
    has_keys =
        isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
    struct sigaction action = {};
    action.sa_handler = OnEnding;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    for (size_t i = 0; i < kEndings.size(); ++i) {
      sigaction(kEndings[i], &action, &old_endings_[i]);
    }
    sigaction(SIGTSTP, nullptr, &old_stop);
    if (old_stop.sa_handler != SIG_IGN) {
      const struct sigaction stop = StopAction();
      sigaction(SIGTSTP, &stop, nullptr);
    }
    Take();
  }

  ~Terminal() override {
    RestoreTerminal();
    sigaction(SIGTSTP, &old_stop, nullptr);
    for (size_t i = 0; i < kEndings.size(); ++i) {
      sigaction(kEndings[i], &old_endings_[i], nullptr);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void Draw(const std::vector<std::string>& lines) override {
    std::string frame = "\x1b[H";
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i > 0) frame += "\r\n";
      frame += lines[i] + "\x1b[K";
    }
    frame += "\x1b[J";
    WriteAll(frame.data(), frame.size());
  }

  int WaitKey(absl::Duration patience) override {
    pollfd wanted = {has_keys ? STDIN_FILENO : -1, POLLIN, 0};
    const int ready =
        poll(&wanted, 1, static_cast<int>(absl::ToInt64Milliseconds(patience)));
    if (resumed != 0) {
      resumed = 0;
      return kResumed;
    }
    if (ready <= 0) return kNoKey;  // a signal counts as no key
    unsigned char key = 0;
    const ssize_t count = read(STDIN_FILENO, &key, 1);
    if (count == 1) return key;
    return count < 0 && errno == EINTR ? kNoKey : kGone;
  }

 private:
  std::array<struct sigaction, kEndings.size()> old_endings_ = {};
};

}  // namespace

std::unique_ptr<Screen> TakeTerminal() { return std::make_unique<Terminal>(); }

void RestoreTerminal() {
  if (taken == 0) return;
  taken = 0;
  WriteAll(kLeave, sizeof(kLeave) - 1);
  if (has_keys) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

}  // namespace trainyard::trainctl
