// A connection to a Trainyard server: submit, look at and cancel jobs, look at
// workers and queues. Following jobs is in watch.h, files and folders in
// artifacts.h.
//
//   Client client({.server = "yard.lab:7070",
//                  .security = {.tls_ca = "ca.crt", .token_file = "token"}});
//   ASSIGN_OR_RETURN(v1::Job job, client.Submit(spec));
//   ASSIGN_OR_RETURN(job, client.GetJob(job.name()));
//
// Calls block until the reply, at most options.call_timeout per try, and are
// tried again as retry.h says. Errors are the server's, with its message.
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/retry.h"
#include "grpcpp/channel.h"
#include "proto/channel/channel.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"
#include "trainyard/v1/auth_service.grpc.pb.h"
#include "trainyard/v1/fleet_service.grpc.pb.h"
#include "trainyard/v1/job_service.grpc.pb.h"
#include "trainyard/v1/queue_service.grpc.pb.h"

namespace trainyard::client {

struct ClientOptions {
  std::string server = "127.0.0.1:7070";  // host:port
  // TLS and token; CheckSecurity says beforehand whether they can be used.
  Security security;
  absl::Duration call_timeout = absl::Seconds(30);
  // Streams are opened anew, where they were, after this long: no wait is
  // without end.
  absl::Duration stream_lifetime = absl::Minutes(5);
  RetryPolicy retry;
  RetryPorts ports = RealRetryPorts();
};

struct SubmitOptions {
  // Same id, same job. Empty: a new one is made, so only tries within this one
  // call are protected.
  std::string request_id;
  bool dry_run = false;
};

class Client {
 public:
  // Connects at the first call.
  explicit Client(ClientOptions options);
  Client(ClientOptions options, std::shared_ptr<grpc::Channel> channel);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Names are "jobs/17", "workers/mini", "sha256:…".
  absl::StatusOr<v1::Job> Submit(const v1::JobSpec& spec,
                                 const SubmitOptions& options = {});
  // One result per request, in their order; requests without a request_id get
  // one.
  absl::StatusOr<std::vector<v1::BatchSubmitJobsResult>> BatchSubmit(
      std::vector<v1::SubmitJobRequest> requests);
  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  absl::StatusOr<v1::ListJobsResponse> ListJobs(
      const v1::ListJobsRequest& request);
  absl::StatusOr<v1::Job> CancelJob(const std::string& name,
                                    const std::string& reason = "");
  absl::StatusOr<v1::ListWorkersResponse> ListWorkers(
      const v1::ListWorkersRequest& request);
  absl::StatusOr<v1::Worker> GetWorker(const std::string& name);
  absl::StatusOr<v1::Worker> DrainWorker(const std::string& name,
                                         bool undo = false);
  absl::StatusOr<v1::GetServerResponse> GetServer();
  // Queues; names are "queues/…".
  absl::StatusOr<v1::ListQueuesResponse> ListQueues();
  absl::StatusOr<v1::Queue> GetQueue(const std::string& name);
  absl::StatusOr<v1::Queue> SetQueue(const v1::Queue& queue);
  absl::Status DeleteQueue(const std::string& name);
  absl::StatusOr<v1::Queue> ResetQueueHours(const std::string& name);
  absl::StatusOr<v1::StatArtifactResponse> StatArtifact(
      const std::string& name);
  absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(
      const v1::ListArtifactsRequest& request);
  // Tokens; names are "tokens/…".
  absl::StatusOr<v1::CreateTokenResponse> CreateToken(
      const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensResponse> ListTokens(
      const v1::ListTokensRequest& request);
  absl::StatusOr<v1::Token> RevokeToken(const std::string& name);
  absl::StatusOr<v1::WhoAmIResponse> WhoAmI();

  // For calls that this class does not wrap.
  v1::JobService::StubInterface& jobs() { return *jobs_; }
  v1::FleetService::StubInterface& fleet() { return *fleet_; }
  v1::ArtifactService::StubInterface& artifacts() { return *artifacts_; }
  const ClientOptions& options() const { return options_; }

 private:
  const ClientOptions options_;
  const std::unique_ptr<v1::JobService::StubInterface> jobs_;
  const std::unique_ptr<v1::FleetService::StubInterface> fleet_;
  const std::unique_ptr<v1::QueueService::StubInterface> queues_;
  const std::unique_ptr<v1::ArtifactService::StubInterface> artifacts_;
  const std::unique_ptr<v1::AuthService::StubInterface> auth_;
};

// 32 random hex digits.
std::string NewRequestId();

// The same code and message.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace trainyard::client
