// Follows one job on a screen or a log until its end: a progress line, state
// changes with reasons, the outcome. Ctrl-C leaves the job alone and goes.
//
//   Follower follower(client, console, &out);
//   ASSIGN_OR_RETURN(FollowEnd end, follower.Follow("jobs/17"));
//
// Two threads read the streams; the calling one prints. Not thread-safe.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/trainctl/console.h"

namespace trainyard::trainctl {

struct FollowEnd {
  v1::Job job;            // as last heard of
  bool detached = false;  // by Ctrl-C, before the job's end
};

struct FollowScreen {
  std::ostream* out = nullptr;
  bool terminal = false;  // one line that changes; else lines from time to time
  bool colour = false;
};

// The screen for a format: tables leave stdout to it, JSON and YAML stderr.
FollowScreen ScreenFor(const Console& console, bool table);

class Follower {
 public:
  Follower(client::Client& client, const Console& console, FollowScreen screen);
  // Blocks until the job is final or Ctrl-C. NOT_FOUND and other final errors
  // of the server. With `history` the validations so far are shown too.
  absl::StatusOr<FollowEnd> Follow(const std::string& job, bool history);

 private:
  client::Client& client_;
  const Console& console_;
  const FollowScreen screen_;
};

}  // namespace trainyard::trainctl
