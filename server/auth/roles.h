// Roles, and the least one that each call of the API needs. This table is the
// only place that says so; what is not in it is denied.
//
//   RETURN_IF_ERROR(CheckRight(caller, "JobService/SubmitJob"));
//
// Functions only; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace trainyard::auth {

// The first three include each other: an admin may what a submitter may, a
// submitter what a viewer may. A worker is something else.
enum class Role : uint8_t {
  kViewer = 1,     // looks at jobs, workers, artifacts
  kSubmitter = 2,  // submits and cancels jobs, uploads artifacts
  kAdmin = 3,      // drains workers, makes and revokes tokens
  kWorker = 4,     // is one worker
};

// "viewer", …
absl::string_view NameOf(Role role);

// Who makes a call.
struct Caller {
  std::string token_id;  // empty: authentication is off
  Role role = Role::kViewer;
  std::string worker;  // the one it may be; kWorker
  bool join = false;   // may only become a worker
  std::string user =
      {};  // whom jobs count for: the token's display name, or id
};

// Which callers a method is for.
enum class Needs : uint8_t {
  kViewer,
  kSubmitter,
  kAdmin,
  kWorker,             // workers only
  kViewerOrWorker,     // or more than a viewer
  kSubmitterOrWorker,  // or more than a submitter
  kJoinToken,          // join tokens only
  kAnyToken,
};

struct Right {
  absl::string_view method;  // "JobService/SubmitJob"
  Needs needs;
};

absl::Span<const Right> Rights();

// PERMISSION_DENIED says the role that is needed and the role of the caller.
absl::Status CheckRight(const Caller& caller, absl::string_view method);

}  // namespace trainyard::auth
