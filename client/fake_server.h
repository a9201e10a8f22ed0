// A Trainyard server for tests of clients: in memory, on a free port of the
// loopback, with faults on demand.
//
//   FakeServer server;
//   server.FailNext(2, grpc::StatusCode::UNAVAILABLE);
//   Client client({.server = server.address()});
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "grpcpp/server.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"
#include "trainyard/v1/fleet_service.grpc.pb.h"
#include "trainyard/v1/job_service.grpc.pb.h"

namespace trainyard::client {

// What the services share; every member under the mutex.
struct FakeState {
  absl::Mutex mutex;
  bool stopping = false;
  // Faults.
  int fail_calls = 0;  // so many calls from now on fail with fail_code
  grpc::StatusCode fail_code = grpc::StatusCode::UNAVAILABLE;
  int lose_replies = 0;         // submissions accepted, answered UNAVAILABLE
  int break_streams_after = 0;  // messages (chunks); 0: never
  int corrupt_downloads = 0;    // so many downloads have a wrong byte
  // What it holds.
  uint64_t revision = 0;
  std::map<std::string, v1::Job> jobs;
  std::map<std::string, std::string> requests;  // request_id: job
  std::map<std::string, std::vector<v1::AttemptLogLine>> lines;
  std::map<std::string, std::vector<v1::AttemptMetricPoint>> points;
  std::map<std::string, v1::Worker> workers;
  std::map<std::string, std::string> blobs;
  std::map<std::string, std::string> partial_blobs;
  // What it saw.
  std::vector<v1::SubmitJobRequest> submissions;
  std::vector<uint64_t> watched_from;
  std::vector<std::string> log_cursors;
  std::vector<uint64_t> upload_offsets;
  std::vector<uint64_t> download_offsets;
};

class FakeServer {
 public:
  FakeServer();
  ~FakeServer();

  const std::string& address() const { return address_; }
  // Lock state().mutex to look at it or change it.
  FakeState& state() { return state_; }

  void FailNext(int calls, grpc::StatusCode code);
  // The job with a new revision; watchers hear of it.
  void PutJob(v1::Job job);
  void AddLine(const std::string& job, const std::string& text);
  void AddPoint(const std::string& job, const v1::MetricPoint& point);

 private:
  FakeState state_;
  std::string address_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace trainyard::client
