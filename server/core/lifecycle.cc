#include "server/core/lifecycle.h"

#include "absl/strings/str_cat.h"

namespace trainyard::core {
namespace {

using enum JobState;

struct Move {
  JobState from;
  JobState to;
};

constexpr Move kLegalMoves[] = {
    {kQueued, kStarting},     // placed
    {kQueued, kFailed},       // waited for too long
    {kQueued, kCancelled},    //
    {kStarting, kRunning},    // its runner works
    {kStarting, kQueued},     // failed, lost or preempted; to be tried again
    {kStarting, kFailed},     //
    {kStarting, kCancelled},  //
    {kRunning, kQueued},      // failed, lost or preempted; to be tried again
    {kRunning, kSucceeded},   //
    {kRunning, kFailed},      //
    {kRunning, kCancelled},   //
};

}  // namespace

bool IsLegalMove(JobState from, JobState to) {
  for (const Move& move : kLegalMoves) {
    if (move.from == from && move.to == to) return true;
  }
  return false;
}

absl::Status CheckMove(JobId job, JobState from, JobState to) {
  if (IsLegalMove(from, to)) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("jobs/", job.value(), " cannot move from ",
                   JobStateName(from), " to ", JobStateName(to)));
}

bool IsFinal(JobState state) {
  return state == kSucceeded || state == kFailed || state == kCancelled;
}

const char* JobStateName(JobState state) {
  switch (state) {
    case kQueued:
      return "QUEUED";
    case kStarting:
      return "STARTING";
    case kRunning:
      return "RUNNING";
    case kSucceeded:
      return "SUCCEEDED";
    case kFailed:
      return "FAILED";
    case kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

}  // namespace trainyard::core
