// trainctl's command line from end to end: what main calls, and what tests call
// with a console of their own.
//
//   return RunApp(CommandTable(), {"list", "--state", "running"}, console);
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "client/trainctl/command.h"
#include "client/trainctl/console.h"

namespace trainyard::trainctl {

// `arguments` without the program's name. Returns the exit status.
int RunApp(absl::Span<const Command> commands,
           std::vector<std::string> arguments, const Console& console);

}  // namespace trainyard::trainctl
