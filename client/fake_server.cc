#include "client/fake_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/sha256.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace trainyard::client {
namespace {

using grpc::ServerContext;
using grpc::ServerWriter;
using grpc::Status;
using grpc::StatusCode;

// A fault that was asked for; OK: none.
Status NextFault(FakeState& state) {
  if (state.fail_calls == 0) return Status::OK;
  --state.fail_calls;
  return Status(state.fail_code, "a fault that the test asked for");
}

// Counts messages of a stream: true where it is to break.
class Breaker {
 public:
  explicit Breaker(int after) : left_(after) {}
  bool Break() { return left_ > 0 && --left_ == 0; }

 private:
  int left_;
};

Status Broken() { return Status(StatusCode::UNAVAILABLE, "stream broken"); }

bool IsFinal(const v1::Job& job) {
  return job.state() >= v1::Job::STATE_SUCCEEDED;
}

class Jobs : public v1::JobService::Service {
 public:
  explicit Jobs(FakeState& state) : state_(state) {}

  Status SubmitJob(ServerContext*, const v1::SubmitJobRequest* request,
                   v1::SubmitJobResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    state_.submissions.push_back(*request);
    const Status fault = NextFault(state_);
    if (!fault.ok()) return fault;
    if (request->spec().priority() > 1000) {
      return Status(StatusCode::INVALID_ARGUMENT,
                    "priority: 1001: must be -1000 to 1000");
    }
    if (request->dry_run()) {
      *response->mutable_job()->mutable_spec() = request->spec();
      return Status::OK;
    }
    std::string& name = state_.requests[request->request_id()];
    if (name.empty()) {
      name = absl::StrCat("jobs/", state_.jobs.size() + 1);
      v1::Job& job = state_.jobs[name];
      job.set_name(name);
      *job.mutable_spec() = request->spec();
      job.set_state(v1::Job::STATE_QUEUED);
      job.set_revision(++state_.revision);
    }
    *response->mutable_job() = state_.jobs[name];
    if (state_.lose_replies > 0) {
      --state_.lose_replies;
      return Broken();
    }
    return Status::OK;
  }

  Status BatchSubmitJobs(ServerContext* context,
                         const v1::BatchSubmitJobsRequest* request,
                         v1::BatchSubmitJobsResponse* response) override {
    for (const auto& item : request->requests()) {
      v1::SubmitJobResponse one;
      const Status status = SubmitJob(context, &item, &one);
      auto* result = response->add_results();
      result->set_job(one.job().name());
      result->set_code(status.error_code());
      result->set_message(status.error_message());
    }
    return Status::OK;
  }

  Status GetJob(ServerContext*, const v1::GetJobRequest* request,
                v1::GetJobResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const Status fault = NextFault(state_);
    if (!fault.ok()) return fault;
    const auto it = state_.jobs.find(request->name());
    if (it == state_.jobs.end()) return NoSuch(request->name());
    *response->mutable_job() = it->second;
    return Status::OK;
  }

  Status ListJobs(ServerContext*, const v1::ListJobsRequest* request,
                  v1::ListJobsResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const Status fault = NextFault(state_);
    if (!fault.ok()) return fault;
    int skip = 0;
    if (!request->page_token().empty() &&
        !absl::SimpleAtoi(request->page_token(), &skip)) {
      return Status(StatusCode::INVALID_ARGUMENT,
                    "page_token: not one of mine");
    }
    int seen = 0;
    for (auto it = state_.jobs.rbegin(); it != state_.jobs.rend(); ++it) {
      if (!Matches(request->filter(), it->second) || seen++ < skip) continue;
      if (response->jobs_size() == std::max(request->page_size(), 1)) {
        response->set_next_page_token(
            absl::StrCat(skip + response->jobs_size()));
        break;
      }
      *response->add_jobs() = it->second;
    }
    return Status::OK;
  }

  Status CancelJob(ServerContext*, const v1::CancelJobRequest* request,
                   v1::CancelJobResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const auto it = state_.jobs.find(request->name());
    if (it == state_.jobs.end()) return NoSuch(request->name());
    if (it->second.state() == v1::Job::STATE_SUCCEEDED) {
      return Status(StatusCode::FAILED_PRECONDITION,
                    absl::StrCat(request->name(), " already succeeded"));
    }
    it->second.set_state(v1::Job::STATE_CANCELLED);
    it->second.set_reason(request->reason());
    it->second.set_revision(++state_.revision);
    *response->mutable_job() = it->second;
    return Status::OK;
  }

  Status WatchJobs(ServerContext* context, const v1::WatchJobsRequest* request,
                   ServerWriter<v1::WatchJobsResponse>* writer) override {
    uint64_t revision = request->from_revision();
    Status fault;
    Breaker breaker(
        Open(&fault, [&] { state_.watched_from.push_back(revision); }));
    if (!fault.ok()) return fault;
    while (true) {
      v1::WatchJobsResponse response;
      const bool done = Await(context, [&] {
        bool all_final = request->until_final();
        for (const auto& [name, job] : state_.jobs) {
          if (!Matches(request->filter(), job)) continue;
          all_final = all_final && IsFinal(job);
          if (job.revision() > revision) *response.add_jobs() = job;
        }
        return response.jobs_size() > 0 || all_final;
      });
      if (!done) return Broken();
      std::sort(response.mutable_jobs()->begin(),
                response.mutable_jobs()->end(),
                [](const auto& a, const auto& b) {
                  return a.revision() < b.revision();
                });
      if (response.jobs_size() == 0) return Status::OK;
      revision = response.jobs().rbegin()->revision();
      response.set_revision(revision);
      writer->Write(response);
      if (breaker.Break()) return Broken();
    }
  }

  Status StreamLogs(ServerContext* context,
                    const v1::StreamLogsRequest* request,
                    ServerWriter<v1::StreamLogsResponse>* writer) override {
    return StreamItems<v1::StreamLogsResponse>(
        context, *request, state_.lines, writer,
        [](v1::StreamLogsResponse& to, const v1::AttemptLogLine& item) {
          *to.add_lines() = item;
        });
  }

  Status StreamMetrics(
      ServerContext* context, const v1::StreamMetricsRequest* request,
      ServerWriter<v1::StreamMetricsResponse>* writer) override {
    return StreamItems<v1::StreamMetricsResponse>(
        context, *request, state_.points, writer,
        [](v1::StreamMetricsResponse& to, const v1::AttemptMetricPoint& item) {
          *to.add_points() = item;
        });
  }

 private:
  static Status NoSuch(const std::string& name) {
    return Status(StatusCode::NOT_FOUND, absl::StrCat(name, ": no such job"));
  }

  static bool Matches(const v1::JobFilter& filter, const v1::Job& job) {
    const auto& names = filter.names();
    const auto& states = filter.states();
    return (names.empty() ||
            std::find(names.begin(), names.end(), job.name()) != names.end()) &&
           (states.empty() || std::find(states.begin(), states.end(),
                                        job.state()) != states.end()) &&
           (filter.spec_name().empty() ||
            filter.spec_name() == job.spec().name());
  }

  // Notes the stream; returns after how many messages it breaks.
  template <typename Note>
  int Open(Status* fault, const Note& note) {
    absl::MutexLock lock(&state_.mutex);
    note();
    *fault = NextFault(state_);
    return state_.break_streams_after;
  }

  // Waits for the condition, which may look at the state; false: the call or
  // the server ended first.
  template <typename Condition>
  bool Await(ServerContext* context, const Condition& condition) {
    absl::MutexLock lock(&state_.mutex);
    while (!context->IsCancelled() && !state_.stopping) {
      const auto until = [&] { return state_.stopping || condition(); };
      if (state_.mutex.AwaitWithTimeout(absl::Condition(&until),
                                        absl::Milliseconds(20))) {
        return !state_.stopping;
      }
    }
    return false;
  }

  template <typename Response, typename Request, typename Item, typename Add>
  Status StreamItems(ServerContext* context, const Request& request,
                     std::map<std::string, std::vector<Item>>& items,
                     ServerWriter<Response>* writer, const Add& add) {
    size_t next = 0;
    Status fault;
    Breaker breaker(
        Open(&fault, [&] { state_.log_cursors.push_back(request.cursor()); }));
    if (!fault.ok()) return fault;
    if (!request.cursor().empty() &&
        !absl::SimpleAtoi(request.cursor(), &next)) {
      return Status(StatusCode::INVALID_ARGUMENT, "cursor: not one of mine");
    }
    if (request.cursor().empty() && request.tail() > 0) {
      absl::MutexLock lock(&state_.mutex);
      const size_t size = items[request.job()].size();
      next = size - std::min<size_t>(size, request.tail());
    }
    while (true) {
      Response response;
      const bool go_on = Await(context, [&] {
        const auto& list = items[request.job()];
        if (next < list.size()) add(response, list[next]);
        return next < list.size() || !request.follow() ||
               IsFinal(state_.jobs[request.job()]);
      });
      if (!go_on) return Broken();
      if (response.ByteSizeLong() == 0) return Status::OK;
      response.set_cursor(absl::StrCat(++next));
      writer->Write(response);
      if (breaker.Break()) return Broken();
    }
  }

  FakeState& state_;
};

class Fleet : public v1::FleetService::Service {
 public:
  explicit Fleet(FakeState& state) : state_(state) {}

  Status ListWorkers(ServerContext*, const v1::ListWorkersRequest*,
                     v1::ListWorkersResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    for (const auto& [name, worker] : state_.workers) {
      *response->add_workers() = worker;
    }
    return Status::OK;
  }

  Status GetWorker(ServerContext*, const v1::GetWorkerRequest* request,
                   v1::GetWorkerResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const auto it = state_.workers.find(request->name());
    if (it == state_.workers.end()) {
      return Status(StatusCode::NOT_FOUND, "no such worker");
    }
    *response->mutable_worker() = it->second;
    return Status::OK;
  }

  Status DrainWorker(ServerContext*, const v1::DrainWorkerRequest* request,
                     v1::DrainWorkerResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const auto it = state_.workers.find(request->name());
    if (it == state_.workers.end()) {
      return Status(StatusCode::NOT_FOUND, "no such worker");
    }
    it->second.set_draining(!request->undo());
    *response->mutable_worker() = it->second;
    return Status::OK;
  }

  Status GetServer(ServerContext*, const v1::GetServerRequest*,
                   v1::GetServerResponse* response) override {
    response->set_version("9.9.9");
    return Status::OK;
  }

 private:
  FakeState& state_;
};

class Artifacts : public v1::ArtifactService::Service {
 public:
  explicit Artifacts(FakeState& state) : state_(state) {}

  Status StatArtifact(ServerContext*, const v1::StatArtifactRequest* request,
                      v1::StatArtifactResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    const Status fault = NextFault(state_);
    if (!fault.ok()) return fault;
    const auto it = state_.blobs.find(request->name());
    if (it != state_.blobs.end()) {
      response->mutable_artifact()->set_name(it->first);
      response->mutable_artifact()->set_size_bytes(it->second.size());
      response->set_received_bytes(it->second.size());
      return Status::OK;
    }
    const auto partial = state_.partial_blobs.find(request->name());
    if (partial == state_.partial_blobs.end()) {
      return Status(StatusCode::NOT_FOUND, "no such artifact");
    }
    response->set_received_bytes(partial->second.size());
    return Status::OK;
  }

  Status UploadArtifact(ServerContext*,
                        grpc::ServerReader<v1::UploadArtifactRequest>* reader,
                        v1::UploadArtifactResponse* response) override {
    v1::UploadArtifactRequest chunk;
    std::string name;
    uint64_t size = 0;
    int chunks = 0;
    while (reader->Read(&chunk)) {
      absl::MutexLock lock(&state_.mutex);
      if (chunks++ == 0) {
        name = chunk.name();
        size = chunk.size_bytes();
        state_.upload_offsets.push_back(chunk.offset());
      }
      std::string& bytes = state_.partial_blobs[name];
      if (chunk.offset() != bytes.size()) {
        return Status(StatusCode::OUT_OF_RANGE, "offset");
      }
      bytes += chunk.data();
      if (chunks == state_.break_streams_after) return Broken();
    }
    absl::MutexLock lock(&state_.mutex);
    const std::string bytes = state_.partial_blobs[name];
    Sha256 hash;
    hash.Update(bytes);
    if (bytes.size() != size || hash.Name() != name) {
      return Status(StatusCode::DATA_LOSS, "hash mismatch");
    }
    state_.partial_blobs.erase(name);
    state_.blobs[name] = bytes;
    response->mutable_artifact()->set_name(name);
    return Status::OK;
  }

  Status DownloadArtifact(
      ServerContext*, const v1::DownloadArtifactRequest* request,
      ServerWriter<v1::DownloadArtifactResponse>* writer) override {
    std::string bytes;
    int break_after = 0;
    {
      absl::MutexLock lock(&state_.mutex);
      state_.download_offsets.push_back(request->offset());
      const auto it = state_.blobs.find(request->name());
      if (it == state_.blobs.end()) {
        return Status(StatusCode::NOT_FOUND, "no such artifact");
      }
      bytes = it->second;
      break_after = state_.break_streams_after;
      if (state_.corrupt_downloads > 0 && !bytes.empty()) {
        --state_.corrupt_downloads;
        bytes.back() ^= 1;
      }
    }
    Breaker breaker(break_after);
    constexpr size_t kChunk = 100000;
    for (size_t at = request->offset(); at < bytes.size(); at += kChunk) {
      v1::DownloadArtifactResponse chunk;
      chunk.set_offset(at);
      chunk.set_data(bytes.substr(at, kChunk));
      chunk.set_size_bytes(bytes.size());
      writer->Write(chunk);
      if (breaker.Break()) return Broken();
    }
    return Status::OK;
  }

  Status ListArtifacts(ServerContext*, const v1::ListArtifactsRequest*,
                       v1::ListArtifactsResponse* response) override {
    absl::MutexLock lock(&state_.mutex);
    for (const auto& [name, bytes] : state_.blobs) {
      auto* artifact = response->add_artifacts();
      artifact->set_name(name);
      artifact->set_size_bytes(bytes.size());
    }
    return Status::OK;
  }

 private:
  FakeState& state_;
};

}  // namespace

FakeServer::FakeServer() {
  services_.push_back(std::make_unique<Jobs>(state_));
  services_.push_back(std::make_unique<Fleet>(state_));
  services_.push_back(std::make_unique<Artifacts>(state_));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  for (const auto& service : services_) builder.RegisterService(service.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() {
  {
    absl::MutexLock lock(&state_.mutex);
    state_.stopping = true;
  }
  server_->Shutdown();
}

void FakeServer::FailNext(int calls, grpc::StatusCode code) {
  absl::MutexLock lock(&state_.mutex);
  state_.fail_calls = calls;
  state_.fail_code = code;
}

void FakeServer::PutJob(v1::Job job) {
  absl::MutexLock lock(&state_.mutex);
  job.set_revision(++state_.revision);
  const std::string name = job.name();
  state_.jobs[name] = std::move(job);
}

void FakeServer::AddLine(const std::string& job, const std::string& text) {
  absl::MutexLock lock(&state_.mutex);
  v1::AttemptLogLine line;
  line.set_attempt(1);
  line.mutable_line()->set_stream(v1::LogLine::STREAM_STDOUT);
  line.mutable_line()->set_text(text);
  state_.lines[job].push_back(line);
}

void FakeServer::AddPoint(const std::string& job,
                          const v1::MetricPoint& point) {
  absl::MutexLock lock(&state_.mutex);
  v1::AttemptMetricPoint one;
  one.set_attempt(1);
  *one.mutable_point() = point;
  state_.points[job].push_back(one);
}

}  // namespace trainyard::client
