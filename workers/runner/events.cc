#include "workers/runner/events.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "workers/runner/data/file.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

// A pipe that poll() calls writable takes this much without blocking.
constexpr size_t kPieceBytes = std::min<size_t>(PIPE_BUF, 4096);
// Of a message; what JSON makes of it stays below the 64 KiB of a line.
constexpr size_t kLongestMessage = 8 << 10;

// Waits until `descriptor` takes kPieceBytes. DEADLINE_EXCEEDED: not in time.
absl::Status AwaitWritable(int descriptor, SteadyClock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - SteadyClock::now());
    pollfd waited = {.fd = descriptor, .events = POLLOUT, .revents = 0};
    const int ready =
        poll(&waited, 1,
             static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return data::ErrnoStatus(errno, "cannot wait for events");
    if (ready == 0) return absl::DeadlineExceededError("nobody reads events");
    if ((waited.revents & (POLLERR | POLLNVAL | POLLHUP)) != 0) {
      return absl::UnavailableError("the reader of the events is gone");
    }
    return absl::OkStatus();
  }
}

}  // namespace

std::string Name(FailureCategory category) {
  switch (category) {
    case FailureCategory::kUserError:
      return "user_error";
    case FailureCategory::kOutOfMemory:
      return "out_of_memory";
    case FailureCategory::kCrash:
      return "crash";
    case FailureCategory::kInfrastructure:
      return "infrastructure";
  }
  return "crash";
}

FailureCategory CategoryOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return FailureCategory::kUserError;
    case absl::StatusCode::kResourceExhausted:
      return FailureCategory::kOutOfMemory;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return FailureCategory::kInfrastructure;
    default:
      return FailureCategory::kCrash;
  }
}

std::string EventLine(const Json& event) {
  return absl::StrCat(
      event.dump(-1, ' ', false, Json::error_handler_t::replace), "\n");
}

absl::Status Events::Started(uint64_t step, uint64_t total_steps,
                             uint64_t parameters, const std::string& device) {
  return Write({{"event", "started"},
                {"step", step},
                {"total_steps", total_steps},
                {"parameters", parameters},
                {"device", device}});
}

absl::Status Events::Metrics(const Json& point) {
  Json event = point;
  event["event"] = "metrics";
  const absl::Status written = WriteLine(EventLine(event), timeouts_.metrics);
  if (written.code() != absl::StatusCode::kDeadlineExceeded) return written;
  if (dropped_metrics_++ == 0) {
    spdlog::warn("the events are not read: a metrics event is dropped");
  }
  return absl::OkStatus();
}

absl::Status Events::Checkpoint(uint64_t step, const std::string& path) {
  return Write({{"event", "checkpoint"}, {"step", step}, {"path", path}});
}

absl::Status Events::Finished(const std::vector<std::string>& outputs) {
  return Write({{"event", "finished"}, {"outputs", outputs}});
}

absl::Status Events::Stopped(uint64_t step) {
  return Write({{"event", "stopped"}, {"step", step}});
}

absl::Status Events::Failed(const absl::Status& why) {
  std::string message(why.message().substr(0, kLongestMessage));
  return Write({{"event", "failed"},
                {"category", Name(CategoryOf(why))},
                {"message", data::CleanUtf8(message)}});
}

absl::Status Events::Write(const Json& event) {
  const absl::Status written = WriteLine(EventLine(event), timeouts_.others);
  if (written.code() != absl::StatusCode::kDeadlineExceeded) return written;
  return absl::UnavailableError(absl::StrCat(
      "nobody read the events for ", absl::FormatDuration(timeouts_.others)));
}

absl::Status Events::WriteLine(absl::string_view line, absl::Duration timeout) {
  const size_t length = line.size();
  auto deadline = SteadyClock::now() + absl::ToChronoNanoseconds(timeout);
  while (!line.empty()) {
    RETURN_IF_ERROR(AwaitWritable(descriptor_, deadline));
    const ssize_t written =
        write(descriptor_, line.data(), std::min(line.size(), kPieceBytes));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) {
      return absl::UnavailableError(
          data::ErrnoStatus(errno, "cannot write an event").message());
    }
    line.remove_prefix(static_cast<size_t>(written));
    // A line that was begun is ended, whatever its kind.
    if (line.size() < length) {
      deadline =
          SteadyClock::now() + absl::ToChronoNanoseconds(timeouts_.others);
    }
  }
  return absl::OkStatus();
}

}  // namespace trainyard::runner
