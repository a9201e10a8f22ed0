#include "client/trainctl/console.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace trainyard::trainctl {
namespace {

volatile sig_atomic_t interrupts = 0;

void OnInterrupt(int number) {
  if (interrupts != 0) {  // the second one ends a program that hangs
    RestoreTerminal();
    signal(number, SIG_DFL);
    raise(number);
  }
  interrupts = 1;
}

bool Interrupted() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = OnInterrupt;
    return sigaction(SIGINT, &action, nullptr) == 0;
  }();
  return installed && interrupts != 0;
}

std::optional<std::string> Environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

// What the terminal says, else the variable, else the usual.
int Extent(unsigned short winsize::*member, const char* variable, int usual) {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.*member > 0) {
    return size.*member;
  }
  int extent = 0;
  const auto text = Environment(variable);
  return text && absl::SimpleAtoi(*text, &extent) && extent > 0
             ? std::min(extent, 10000)
             : usual;
}

int Width() { return Extent(&winsize::ws_col, "COLUMNS", 80); }

int Height() { return Extent(&winsize::ws_row, "LINES", 24); }

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
  console.height = Height;
  console.take_terminal = TakeTerminal;
  console.environment = Environment;
  console.clock = RealClock();
  console.interrupted = Interrupted;
  return console;
}

bool IsUtf8(const Console& console) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    // The first one that is set decides.
    if (const auto value = console.environment(name)) {
      const std::string lower = absl::AsciiStrToLower(*value);
      return absl::StrContains(lower, "utf-8") ||
             absl::StrContains(lower, "utf8");
    }
  }
  return false;
}

}  // namespace trainyard::trainctl
