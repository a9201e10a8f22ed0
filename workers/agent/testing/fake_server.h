// A server for tests, in this process and on a port of its own: it says what
// the test tells it to, and keeps what workers report.
//
//   FakeServer server;
//   server.Want({server.Training(7, "succeed")});
//   EXPECT_TRUE(server.AwaitReport([](const auto& report) { … }));
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/server.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"
#include "trainyard/v1/worker_service.grpc.pb.h"

namespace trainyard::agent {

class FakeServer {
 public:
  // port 0: any that is free.
  explicit FakeServer(int port = 0);
  ~FakeServer();

  std::string address() const;
  int port() const { return port_; }
  std::shared_ptr<grpc::Channel> Channel() const;

  // What workers should hold from now on.
  void Want(std::vector<v1::DesiredAttempt> attempts);
  // An attempt that runs the fake runner in a mode, on the CPU.
  static v1::DesiredAttempt Training(uint64_t job, const std::string& mode,
                                     const std::string& data_path = "");
  void set_heartbeat(absl::Duration interval);
  void set_acknowledging(bool acknowledging);
  // Until so many telemetry streams were refused for that.
  bool AwaitRefusals(int count);
  // Ends all streams with UNAVAILABLE.
  void BreakStreams();

  // Until at least so many reports came and the newest is as wanted. False: in
  // vain.
  using Report = v1::SynchronizeRequest;
  bool AwaitReport(const std::function<bool(const Report&)>& wanted,
                   size_t at_least = 1);
  Report last_report() const;
  int streams() const;  // Synchronize streams so far

  std::vector<v1::TelemetryRecord> telemetry() const;
  bool AwaitTelemetry(
      const std::function<bool(const std::vector<v1::TelemetryRecord>&)>&
          wanted);

  // The artifact store.
  std::string Put(const std::string& bytes);  // its name
  std::map<std::string, std::string> blobs() const;
  // The next so many calls that move bytes break half-way.
  void set_broken_transfers(int count);
  // Bytes changed on the way out.
  void set_corrupt(bool corrupt);
  int transfers() const;

 private:
  class Worker;
  class Artifacts;
  struct State {
    mutable absl::Mutex mutex;
    std::vector<v1::DesiredAttempt> desired ABSL_GUARDED_BY(mutex);
    uint64_t desired_version ABSL_GUARDED_BY(mutex) = 1;
    uint64_t breaks ABSL_GUARDED_BY(mutex) = 0;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    bool acknowledging ABSL_GUARDED_BY(mutex) = true;
    int refusals ABSL_GUARDED_BY(mutex) = 0;
    absl::Duration heartbeat ABSL_GUARDED_BY(mutex) = absl::Seconds(1);
    std::vector<Report> reports ABSL_GUARDED_BY(mutex);
    std::vector<v1::TelemetryRecord> telemetry ABSL_GUARDED_BY(mutex);
    int streams ABSL_GUARDED_BY(mutex) = 0;
    std::map<std::string, std::string> blobs ABSL_GUARDED_BY(mutex);
    std::map<std::string, std::string> partial ABSL_GUARDED_BY(mutex);
    int broken_transfers ABSL_GUARDED_BY(mutex) = 0;
    bool corrupt ABSL_GUARDED_BY(mutex) = false;
    int transfers ABSL_GUARDED_BY(mutex) = 0;
  };

  State state_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Artifacts> artifacts_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace trainyard::agent
