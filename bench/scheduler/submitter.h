// Submits small jobs to a server: no-op ones for simulated workers.
//
//   Submitter submitter(channel);
//   RETURN_IF_ERROR(submitter.SubmitMany(1'000'000));
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "trainyard/v1/job_service.grpc.pb.h"

namespace trainyard::bench {

class Submitter {
 public:
  explicit Submitter(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::JobService::NewStub(channel)) {}

  // One job, unary: returns when it is durable.
  absl::Status SubmitOne();
  // In batches of 1,000, the next when the one before is durable. They count
  // for `users` users in turn.
  absl::Status SubmitMany(int jobs, int users = 1);

 private:
  void Fill(v1::SubmitJobRequest* request, int users);

  std::unique_ptr<v1::JobService::Stub> stub_;
  uint64_t last_ = 0;
};

}  // namespace trainyard::bench
