// The world around trainctl: streams, terminal, environment, time. Tests put in
// their own.
#pragma once

#include <functional>
#include <optional>
#include <ostream>
#include <string>

#include "base/clock.h"

namespace trainyard::trainctl {

struct Console {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool colour = false;         // on terminals
  std::function<int()> width;  // columns of the terminal
  std::function<std::optional<std::string>(const char*)> environment;
  Clock* clock = nullptr;
  // True once Ctrl-C was pressed; the first call makes Ctrl-C a wish instead of
  // the end. A second Ctrl-C ends the program.
  std::function<bool()> interrupted;
};

// The process's own.
Console RealConsole();

}  // namespace trainyard::trainctl
