// Jobs as clients see them: what is stored, and what only the engine and the
// hub know: why a job waits, how far it is.
//
//   ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, ViewJobs(ports, stored));
//
// Blocks on the engine for at most a second: call it on the executor.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/store.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::rpc {

// In order, as many as fit into one message that every client takes, at least
// one. Reasons are explained for the first 100 queued jobs, the others show the
// stored one. Of the failures, the newest eight keep their lines of stderr.
absl::StatusOr<std::vector<v1::Job>> ViewJobs(
    const Ports& ports, const std::vector<engine::StoredJob>& stored);

absl::StatusOr<v1::Job> ViewJob(const Ports& ports, core::JobId job);

}  // namespace trainyard::rpc
