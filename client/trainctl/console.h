// The world around trainctl: streams, terminal, environment, time. Tests put in
// their own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "base/clock.h"
#include "client/trainctl/terminal.h"

namespace trainyard::trainctl {

struct Console {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool colour = false;          // on terminals
  std::function<int()> width;   // columns of the terminal
  std::function<int()> height;  // lines of the terminal
  // Takes the terminal over; only where out_is_terminal.
  std::function<std::unique_ptr<Screen>()> take_terminal;
  std::function<std::optional<std::string>(const char*)> environment;
  Clock* clock = nullptr;
  // True once Ctrl-C was pressed; the first call makes Ctrl-C a wish instead of
  // the end. A second Ctrl-C ends the program.
  std::function<bool()> interrupted;
};

// The process's own.
Console RealConsole();

// Whether the locale's characters are UTF-8, so that blocks and dots can be
// shown.
bool IsUtf8(const Console& console);

}  // namespace trainyard::trainctl
