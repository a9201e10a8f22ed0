#include "client/client.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace trainyard::client {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;  // a whole batch
constexpr int kMaxSubmissions = 10000;

std::shared_ptr<grpc::Channel> NewChannel(const ClientOptions& options) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no end to them
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // time to connect
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  return MakeChannel(options.server, options.security, args);
}

// One call with deadline and retries.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(const ClientOptions& options, Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*),
                              const Request& request) {
  Response response;
  RETURN_IF_ERROR(Retry(options.retry, options.ports, nullptr, [&] {
    grpc::ClientContext context;
    context.set_deadline(
        absl::ToChronoTime(absl::Now() + options.call_timeout));
    response.Clear();
    return FromGrpcStatus((stub.*method)(&context, request, &response));
  }));
  return response;
}

}  // namespace

std::string NewRequestId() {
  std::random_device device;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&id, absl::Hex(device(), absl::kZeroPad8));
  }
  return id;
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

Client::Client(ClientOptions options) : Client(options, NewChannel(options)) {}

Client::Client(ClientOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      jobs_(v1::JobService::NewStub(channel)),
      fleet_(v1::FleetService::NewStub(channel)),
      queues_(v1::QueueService::NewStub(channel)),
      artifacts_(v1::ArtifactService::NewStub(channel)),
      auth_(v1::AuthService::NewStub(channel)) {}

Client::~Client() = default;

absl::StatusOr<v1::Job> Client::Submit(const v1::JobSpec& spec,
                                       const SubmitOptions& options) {
  v1::SubmitJobRequest request;
  request.set_request_id(options.request_id.empty() ? NewRequestId()
                                                    : options.request_id);
  *request.mutable_spec() = spec;
  request.set_dry_run(options.dry_run);
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *jobs_,
                        &v1::JobService::StubInterface::SubmitJob, request));
  return std::move(*response.mutable_job());
}

absl::StatusOr<std::vector<v1::BatchSubmitJobsResult>> Client::BatchSubmit(
    std::vector<v1::SubmitJobRequest> requests) {
  if (requests.empty() || requests.size() > kMaxSubmissions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "requests: ", requests.size(), ": must be 1 to ", kMaxSubmissions));
  }
  v1::BatchSubmitJobsRequest batch;
  for (v1::SubmitJobRequest& request : requests) {
    if (request.request_id().empty()) request.set_request_id(NewRequestId());
    *batch.add_requests() = std::move(request);
  }
  ASSIGN_OR_RETURN(
      auto response,
      Call(options_, *jobs_, &v1::JobService::StubInterface::BatchSubmitJobs,
           batch));
  if (response.results_size() != batch.requests_size()) {
    return absl::InternalError(
        absl::StrCat("the server answered ", response.results_size(),
                     " results for ", batch.requests_size(), " requests"));
  }
  return std::vector<v1::BatchSubmitJobsResult>(response.results().begin(),
                                                response.results().end());
}

absl::StatusOr<v1::Job> Client::GetJob(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(
      auto response,
      Call(options_, *jobs_, &v1::JobService::StubInterface::GetJob, request));
  return std::move(*response.mutable_job());
}

absl::StatusOr<v1::ListJobsResponse> Client::ListJobs(
    const v1::ListJobsRequest& request) {
  return Call(options_, *jobs_, &v1::JobService::StubInterface::ListJobs,
              request);
}

absl::StatusOr<v1::Job> Client::CancelJob(const std::string& name,
                                          const std::string& reason) {
  v1::CancelJobRequest request;
  request.set_name(name);
  request.set_reason(reason);
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *jobs_,
                        &v1::JobService::StubInterface::CancelJob, request));
  return std::move(*response.mutable_job());
}

absl::StatusOr<v1::ListWorkersResponse> Client::ListWorkers(
    const v1::ListWorkersRequest& request) {
  return Call(options_, *fleet_, &v1::FleetService::StubInterface::ListWorkers,
              request);
}

absl::StatusOr<v1::Worker> Client::GetWorker(const std::string& name) {
  v1::GetWorkerRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *fleet_,
                        &v1::FleetService::StubInterface::GetWorker, request));
  return std::move(*response.mutable_worker());
}

absl::StatusOr<v1::Worker> Client::DrainWorker(const std::string& name,
                                               bool undo) {
  v1::DrainWorkerRequest request;
  request.set_name(name);
  request.set_undo(undo);
  ASSIGN_OR_RETURN(
      auto response,
      Call(options_, *fleet_, &v1::FleetService::StubInterface::DrainWorker,
           request));
  return std::move(*response.mutable_worker());
}

absl::StatusOr<v1::GetServerResponse> Client::GetServer() {
  return Call(options_, *fleet_, &v1::FleetService::StubInterface::GetServer,
              v1::GetServerRequest());
}

absl::StatusOr<v1::ListQueuesResponse> Client::ListQueues() {
  return Call(options_, *queues_, &v1::QueueService::StubInterface::ListQueues,
              v1::ListQueuesRequest());
}

absl::StatusOr<v1::Queue> Client::GetQueue(const std::string& name) {
  v1::GetQueueRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *queues_,
                        &v1::QueueService::StubInterface::GetQueue, request));
  return std::move(*response.mutable_queue());
}

absl::StatusOr<v1::Queue> Client::SetQueue(const v1::Queue& queue) {
  v1::SetQueueRequest request;
  *request.mutable_queue() = queue;
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *queues_,
                        &v1::QueueService::StubInterface::SetQueue, request));
  return std::move(*response.mutable_queue());
}

absl::Status Client::DeleteQueue(const std::string& name) {
  v1::DeleteQueueRequest request;
  request.set_name(name);
  return Call(options_, *queues_, &v1::QueueService::StubInterface::DeleteQueue,
              request)
      .status();
}

absl::StatusOr<v1::Queue> Client::ResetQueueHours(const std::string& name) {
  v1::ResetQueueHoursRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(
      auto response,
      Call(options_, *queues_,
           &v1::QueueService::StubInterface::ResetQueueHours, request));
  return std::move(*response.mutable_queue());
}

absl::StatusOr<v1::StatArtifactResponse> Client::StatArtifact(
    const std::string& name) {
  v1::StatArtifactRequest request;
  request.set_name(name);
  return Call(options_, *artifacts_,
              &v1::ArtifactService::StubInterface::StatArtifact, request);
}

absl::StatusOr<v1::ListArtifactsResponse> Client::ListArtifacts(
    const v1::ListArtifactsRequest& request) {
  return Call(options_, *artifacts_,
              &v1::ArtifactService::StubInterface::ListArtifacts, request);
}

absl::StatusOr<v1::CreateTokenResponse> Client::CreateToken(
    const v1::CreateTokenRequest& request) {
  // Once: a second try would make a second token.
  ClientOptions once = options_;
  once.retry.max_attempts = 1;
  return Call(once, *auth_, &v1::AuthService::StubInterface::CreateToken,
              request);
}

absl::StatusOr<v1::ListTokensResponse> Client::ListTokens(
    const v1::ListTokensRequest& request) {
  return Call(options_, *auth_, &v1::AuthService::StubInterface::ListTokens,
              request);
}

absl::StatusOr<v1::Token> Client::RevokeToken(const std::string& name) {
  v1::RevokeTokenRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(auto response,
                   Call(options_, *auth_,
                        &v1::AuthService::StubInterface::RevokeToken, request));
  return std::move(*response.mutable_token());
}

absl::StatusOr<v1::WhoAmIResponse> Client::WhoAmI() {
  return Call(options_, *auth_, &v1::AuthService::StubInterface::WhoAmI,
              v1::WhoAmIRequest());
}

}  // namespace trainyard::client
