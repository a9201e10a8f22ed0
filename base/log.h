// Logging is spdlog's: spdlog::info("worker {} is online", name). This header
// sets it up once, in main.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "spdlog/spdlog.h"

namespace trainyard {

// Logs go to stderr. level: trace, debug, info, warn, error or off.
// format: "text" or "json" (one object per line: time, level, program, message).
// INVALID_ARGUMENT names a wrong one.
absl::Status InitLogging(const std::string& program, const std::string& level,
                         const std::string& format);

}  // namespace trainyard
