// SubmitJob and BatchSubmitJobs: check, complete, hand to the engine, answer
// once the jobs are durable. A job counts for its caller, unless nobody needs a
// token here or the caller is an admin and names somebody else.
//
// Thread-safe. The request and the response live until the call is done.
#pragma once

#include "server/auth/roles.h"
#include "server/rpc/ports.h"
#include "server/rpc/unary_call.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::rpc {

void SubmitOne(const Ports& ports, const auth::Caller& caller,
               const v1::SubmitJobRequest& request,
               v1::SubmitJobResponse* response, const UnaryCall& call);

void SubmitMany(const Ports& ports, const auth::Caller& caller,
                const v1::BatchSubmitJobsRequest& request,
                v1::BatchSubmitJobsResponse* response, const UnaryCall& call);

}  // namespace trainyard::rpc
