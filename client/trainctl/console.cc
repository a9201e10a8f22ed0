#include "client/trainctl/console.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"

namespace trainyard::trainctl {
namespace {

volatile sig_atomic_t interrupts = 0;

void OnInterrupt(int) { interrupts = 1; }

bool Interrupted() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = OnInterrupt;
    // Reset after the first: the second one ends a program that hangs.
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    return sigaction(SIGINT, &action, nullptr) == 0;
  }();
  return installed && interrupts != 0;
}

std::optional<std::string> Environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

int Width() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  int columns = 0;
  const auto text = Environment("COLUMNS");
  return text && absl::SimpleAtoi(*text, &columns) && columns > 0 ? columns
                                                                  : 80;
}

}  // namespace

Console RealConsole() {
  Console console;
  console.out = &std::cout;
  console.err = &std::cerr;
  const bool dumb = Environment("TERM").value_or("dumb") == "dumb";
  console.out_is_terminal = isatty(STDOUT_FILENO) == 1 && !dumb;
  console.err_is_terminal = isatty(STDERR_FILENO) == 1 && !dumb;
  console.colour = !Environment("NO_COLOR");
  console.width = Width;
  console.environment = Environment;
  console.clock = RealClock();
  console.interrupted = Interrupted;
  return console;
}

}  // namespace trainyard::trainctl
