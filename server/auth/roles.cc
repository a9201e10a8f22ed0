#include "server/auth/roles.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::auth {
namespace {

constexpr Right kRights[] = {
    {"JobService/SubmitJob", Needs::kSubmitter},
    {"JobService/BatchSubmitJobs", Needs::kSubmitter},
    {"JobService/GetJob", Needs::kViewer},
    {"JobService/ListJobs", Needs::kViewer},
    {"JobService/CancelJob", Needs::kSubmitter},
    {"JobService/WatchJobs", Needs::kViewer},
    {"JobService/StreamLogs", Needs::kViewer},
    {"JobService/StreamMetrics", Needs::kViewer},
    {"FleetService/ListWorkers", Needs::kViewer},
    {"FleetService/GetWorker", Needs::kViewer},
    {"FleetService/DrainWorker", Needs::kAdmin},
    {"FleetService/GetServer", Needs::kViewerOrWorker},
    {"QueueService/ListQueues", Needs::kViewer},
    {"QueueService/GetQueue", Needs::kViewer},
    {"QueueService/SetQueue", Needs::kAdmin},
    {"QueueService/DeleteQueue", Needs::kAdmin},
    {"QueueService/ResetQueueHours", Needs::kAdmin},
    {"ArtifactService/StatArtifact", Needs::kViewerOrWorker},
    {"ArtifactService/UploadArtifact", Needs::kSubmitterOrWorker},
    {"ArtifactService/DownloadArtifact", Needs::kViewerOrWorker},
    {"ArtifactService/ListArtifacts", Needs::kViewer},
    {"WorkerService/Synchronize", Needs::kWorker},
    {"WorkerService/ReportTelemetry", Needs::kWorker},
    {"AuthService/CreateToken", Needs::kAdmin},
    {"AuthService/ListTokens", Needs::kAdmin},
    {"AuthService/RevokeToken", Needs::kAdmin},
    {"AuthService/JoinWorker", Needs::kJoinToken},
    {"AuthService/WhoAmI", Needs::kAnyToken},
};

bool Includes(Role held, Role needed) {
  return held != Role::kWorker && held >= needed;
}

bool Allows(Needs needs, const Caller& caller) {
  if (needs == Needs::kAnyToken) return true;
  if (caller.join) return needs == Needs::kJoinToken;
  const bool worker = caller.role == Role::kWorker;
  switch (needs) {
    case Needs::kViewer:
      return Includes(caller.role, Role::kViewer);
    case Needs::kSubmitter:
      return Includes(caller.role, Role::kSubmitter);
    case Needs::kAdmin:
      return Includes(caller.role, Role::kAdmin);
    case Needs::kWorker:
      return worker;
    case Needs::kViewerOrWorker:
      return worker || Includes(caller.role, Role::kViewer);
    case Needs::kSubmitterOrWorker:
      return worker || Includes(caller.role, Role::kSubmitter);
    default:
      return false;
  }
}

absl::string_view Describe(Needs needs) {
  switch (needs) {
    case Needs::kViewer:
      return "the role viewer, submitter or admin";
    case Needs::kSubmitter:
      return "the role submitter or admin";
    case Needs::kAdmin:
      return "the role admin";
    case Needs::kWorker:
      return "the role worker";
    case Needs::kViewerOrWorker:
      return "the role viewer, submitter, admin or worker";
    case Needs::kSubmitterOrWorker:
      return "the role submitter, admin or worker";
    case Needs::kJoinToken:
      return "a join token";
    default:
      return "a token";
  }
}

}  // namespace

absl::string_view NameOf(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kSubmitter:
      return "submitter";
    case Role::kAdmin:
      return "admin";
    case Role::kWorker:
      return "worker";
  }
  return "unknown";
}

absl::Span<const Right> Rights() { return kRights; }

absl::Status CheckRight(const Caller& caller, absl::string_view method) {
  const auto found =
      std::find_if(std::begin(kRights), std::end(kRights),
                   [&](const Right& right) { return right.method == method; });
  if (found == std::end(kRights)) {
    return absl::PermissionDeniedError(
        absl::StrCat(method, " is open to no role"));
  }
  // Authentication is off.
  if (caller.token_id.empty() || Allows(found->needs, caller)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      method, " needs ", Describe(found->needs), "; token ", caller.token_id,
      caller.join ? " is a join token of role " : " has the role ",
      NameOf(caller.role)));
}

}  // namespace trainyard::auth
