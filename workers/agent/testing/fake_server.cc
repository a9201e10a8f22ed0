#include "workers/agent/testing/fake_server.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server_builder.h"
#include "workers/agent/sha256.h"

namespace trainyard::agent {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr size_t kChunkBytes = 1000;  // small, so that there are several

std::string NameOf(const std::string& bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return "sha256:" + hash.Finish();
}

}  // namespace

class FakeServer::Worker : public v1::WorkerService::Service {
 public:
  explicit Worker(State* state) : state_(state) {}

  grpc::Status Synchronize(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::SynchronizeResponse, v1::SynchronizeRequest>*
          stream) override {
    bool over = false;
    uint64_t breaks;
    {
      absl::MutexLock lock(&state_->mutex);
      ++state_->streams;
      breaks = state_->breaks;
    }
    std::thread reader([&] {
      Report report;
      while (stream->Read(&report)) {
        absl::MutexLock lock(&state_->mutex);
        state_->reports.push_back(report);
      }
      absl::MutexLock lock(&state_->mutex);
      over = true;
    });
    bool broken = false;
    uint64_t sent = 0;
    for (uint64_t sequence = 1;; ++sequence) {
      v1::SynchronizeResponse response;
      {
        absl::MutexLock lock(&state_->mutex);
        const auto due = [&]() ABSL_SHARED_LOCKS_REQUIRED(state_->mutex) {
          return over || state_->stopping || state_->breaks != breaks ||
                 state_->desired_version != sent;
        };
        state_->mutex.Await(absl::Condition(&due));
        broken = state_->stopping || state_->breaks != breaks;
        if (over || broken) break;
        sent = state_->desired_version;
        for (const auto& attempt : state_->desired) {
          *response.add_attempts() = attempt;
        }
        response.mutable_heartbeat_interval()->set_nanos(static_cast<int32_t>(
            absl::ToInt64Nanoseconds(state_->heartbeat) % 1000000000));
        response.mutable_heartbeat_interval()->set_seconds(
            absl::ToInt64Seconds(state_->heartbeat));
      }
      response.set_sequence(sequence);
      if (!stream->Write(response)) break;
    }
    if (broken) context->TryCancel();
    reader.join();
    return broken ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken")
                  : grpc::Status::OK;
  }

  grpc::Status ReportTelemetry(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ReportTelemetryResponse,
                               v1::ReportTelemetryRequest>* stream) override {
    v1::ReportTelemetryRequest request;
    while (stream->Read(&request)) {
      v1::ReportTelemetryResponse response;
      {
        absl::MutexLock lock(&state_->mutex);
        if (!state_->acknowledging) {
          ++state_->refusals;
          context->TryCancel();
          return {grpc::StatusCode::UNAVAILABLE, "full"};
        }
        std::map<std::pair<uint64_t, uint32_t>, uint64_t> newest;
        for (const auto& record : request.records()) {
          state_->telemetry.push_back(record);
          newest[{record.key().job(), record.key().attempt()}] =
              record.sequence();
        }
        for (const auto& [key, sequence] : newest) {
          v1::TelemetryAck& ack = *response.add_acks();
          ack.mutable_key()->set_job(key.first);
          ack.mutable_key()->set_attempt(key.second);
          ack.set_sequence(sequence);
        }
      }
      if (!stream->Write(response)) break;
    }
    return grpc::Status::OK;
  }

 private:
  State* const state_;
};

class FakeServer::Artifacts : public v1::ArtifactService::Service {
 public:
  explicit Artifacts(State* state) : state_(state) {}

  grpc::Status StatArtifact(grpc::ServerContext*,
                            const v1::StatArtifactRequest* request,
                            v1::StatArtifactResponse* response) override {
    absl::MutexLock lock(&state_->mutex);
    const auto found = state_->blobs.find(request->name());
    if (found != state_->blobs.end()) {
      response->mutable_artifact()->set_name(found->first);
      response->set_received_bytes(found->second.size());
    } else {
      response->set_received_bytes(state_->partial[request->name()].size());
    }
    return grpc::Status::OK;
  }

  grpc::Status UploadArtifact(
      grpc::ServerContext*,
      grpc::ServerReader<v1::UploadArtifactRequest>* reader,
      v1::UploadArtifactResponse* response) override {
    const bool broken = TakeBreak();
    v1::UploadArtifactRequest chunk;
    std::string name;
    uint64_t size = 0;
    for (bool first = true; reader->Read(&chunk); first = false) {
      if (first) {
        name = chunk.name();
        size = chunk.size_bytes();
      }
      absl::MutexLock lock(&state_->mutex);
      std::string& partial = state_->partial[name];
      if (chunk.offset() != partial.size()) {
        return {grpc::StatusCode::OUT_OF_RANGE, "offset"};
      }
      // A part of it arrives before the break.
      partial += broken ? chunk.data().substr(0, chunk.data().size() / 2)
                        : chunk.data();
      if (broken) return {grpc::StatusCode::UNAVAILABLE, "broken"};
    }
    absl::MutexLock lock(&state_->mutex);
    const std::string bytes = state_->partial[name];
    if (bytes.size() != size || NameOf(bytes) != name) {
      return {grpc::StatusCode::DATA_LOSS, "hash"};
    }
    state_->blobs[name] = bytes;
    state_->partial.erase(name);
    response->mutable_artifact()->set_name(name);
    return grpc::Status::OK;
  }

  grpc::Status DownloadArtifact(
      grpc::ServerContext*, const v1::DownloadArtifactRequest* request,
      grpc::ServerWriter<v1::DownloadArtifactResponse>* writer) override {
    const bool broken = TakeBreak();
    std::string bytes;
    {
      absl::MutexLock lock(&state_->mutex);
      const auto found = state_->blobs.find(request->name());
      if (found == state_->blobs.end()) {
        return {grpc::StatusCode::NOT_FOUND,
                absl::StrCat(request->name(), ": not stored")};
      }
      bytes = found->second;
      if (state_->corrupt && !bytes.empty()) bytes[0] ^= 1;
    }
    const size_t end = broken ? bytes.size() / 2 : bytes.size();
    for (size_t offset = request->offset(); offset < end;) {
      v1::DownloadArtifactResponse chunk;
      chunk.set_offset(offset);
      chunk.set_size_bytes(bytes.size());
      chunk.set_data(bytes.substr(offset, std::min(kChunkBytes, end - offset)));
      offset += chunk.data().size();
      writer->Write(chunk);
    }
    return broken ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken")
                  : grpc::Status::OK;
  }

 private:
  bool TakeBreak() {
    absl::MutexLock lock(&state_->mutex);
    ++state_->transfers;
    if (state_->broken_transfers == 0) return false;
    --state_->broken_transfers;
    return true;
  }

  State* const state_;
};

FakeServer::FakeServer(int port)
    : worker_(std::make_unique<Worker>(&state_)),
      artifacts_(std::make_unique<Artifacts>(&state_)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port),
                           grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(worker_.get());
  builder.RegisterService(artifacts_.get());
  server_ = builder.BuildAndStart();
}

FakeServer::~FakeServer() {
  {
    absl::MutexLock lock(&state_.mutex);
    state_.stopping = true;
  }
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeServer::address() const {
  return absl::StrCat("127.0.0.1:", port_);
}

std::shared_ptr<grpc::Channel> FakeServer::Channel() const {
  // A subchannel shared with another test's would bring its backoff along.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  return grpc::CreateCustomChannel(
      address(), grpc::InsecureChannelCredentials(), arguments);
}

void FakeServer::Want(std::vector<v1::DesiredAttempt> attempts) {
  absl::MutexLock lock(&state_.mutex);
  state_.desired = std::move(attempts);
  ++state_.desired_version;
}

v1::DesiredAttempt FakeServer::Training(uint64_t job, const std::string& mode,
                                        const std::string& data_path) {
  v1::DesiredAttempt attempt;
  attempt.mutable_key()->set_job(job);
  attempt.mutable_key()->set_attempt(1);
  attempt.set_action(v1::DesiredAttempt::ACTION_RUN);
  attempt.add_devices("cpu");
  v1::TrainingSpec& training = *attempt.mutable_spec()->mutable_training();
  training.mutable_model()->set_architecture(mode);
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training.mutable_data()->mutable_source()->set_path(data_path);
  return attempt;
}

void FakeServer::set_heartbeat(absl::Duration interval) {
  absl::MutexLock lock(&state_.mutex);
  state_.heartbeat = interval;
  ++state_.desired_version;
}

void FakeServer::set_acknowledging(bool acknowledging) {
  absl::MutexLock lock(&state_.mutex);
  state_.acknowledging = acknowledging;
}

bool FakeServer::AwaitRefusals(int count) {
  absl::MutexLock lock(&state_.mutex);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(state_.mutex) {
    return state_.refusals >= count;
  };
  return state_.mutex.AwaitWithTimeout(absl::Condition(&there), kPatience);
}

void FakeServer::BreakStreams() {
  absl::MutexLock lock(&state_.mutex);
  ++state_.breaks;
}

bool FakeServer::AwaitReport(const std::function<bool(const Report&)>& wanted,
                             size_t at_least) {
  absl::MutexLock lock(&state_.mutex);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(state_.mutex) {
    return state_.reports.size() >= at_least && wanted(state_.reports.back());
  };
  return state_.mutex.AwaitWithTimeout(absl::Condition(&there), kPatience);
}

FakeServer::Report FakeServer::last_report() const {
  absl::MutexLock lock(&state_.mutex);
  return state_.reports.empty() ? Report() : state_.reports.back();
}

int FakeServer::streams() const {
  absl::MutexLock lock(&state_.mutex);
  return state_.streams;
}

std::vector<v1::TelemetryRecord> FakeServer::telemetry() const {
  absl::MutexLock lock(&state_.mutex);
  return state_.telemetry;
}

bool FakeServer::AwaitTelemetry(
    const std::function<bool(const std::vector<v1::TelemetryRecord>&)>&
        wanted) {
  absl::MutexLock lock(&state_.mutex);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(state_.mutex) {
    return wanted(state_.telemetry);
  };
  return state_.mutex.AwaitWithTimeout(absl::Condition(&there), kPatience);
}

std::string FakeServer::Put(const std::string& bytes) {
  absl::MutexLock lock(&state_.mutex);
  state_.blobs[NameOf(bytes)] = bytes;
  return NameOf(bytes);
}

std::map<std::string, std::string> FakeServer::blobs() const {
  absl::MutexLock lock(&state_.mutex);
  return state_.blobs;
}

void FakeServer::set_broken_transfers(int count) {
  absl::MutexLock lock(&state_.mutex);
  state_.broken_transfers = count;
}

void FakeServer::set_corrupt(bool corrupt) {
  absl::MutexLock lock(&state_.mutex);
  state_.corrupt = corrupt;
}

int FakeServer::transfers() const {
  absl::MutexLock lock(&state_.mutex);
  return state_.transfers;
}

}  // namespace trainyard::agent
