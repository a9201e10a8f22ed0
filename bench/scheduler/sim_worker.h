// One simulated worker: its two streams and what it holds. Every operation on
// a stream is a tag in the fleet's completion queue.
//
// Not thread-safe: the fleet's thread runs it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "bench/scheduler/sim_fleet.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "trainyard/v1/worker_service.grpc.pb.h"

namespace trainyard::bench {

class SimWorker {
 public:
  using Clock = std::chrono::steady_clock;

  // What the fleet's queue gives back.
  struct Tag {
    SimWorker* worker = nullptr;
    void (SimWorker::*then)(bool ok) = nullptr;
  };

  // `counts` and `options` are the fleet's.
  SimWorker(int number, const SimFleetOptions& options, SimFleetCounts* counts,
            const std::shared_ptr<grpc::Channel>& channel);

  void Start(grpc::CompletionQueue* queue);
  // A heartbeat, and a point of each attempt that runs, when they are due.
  void OnTimer(Clock::time_point now);
  void Cancel();
  // Not OK: a stream broke by itself.
  const absl::Status& status() const { return status_; }

 private:
  using Key = std::pair<uint64_t, uint32_t>;  // (job, attempt)
  template <typename Request, typename Response>
  using Stream = grpc::ClientAsyncReaderWriter<Request, Response>;

  void OnOpen(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  void OnTelemetryOpen(bool ok);
  void OnTelemetryRead(bool ok);
  void OnTelemetryWritten(bool ok);

  // Takes what the server lists; true when that is news to it.
  bool Take(const v1::SynchronizeResponse& response);
  void Report();
  void SendPoints();

  const SimFleetOptions& options_;
  SimFleetCounts* const counts_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::CompletionQueue* queue_ = nullptr;
  absl::Status status_;
  bool cancelled_ = false;

  grpc::ClientContext context_;
  std::unique_ptr<Stream<v1::SynchronizeRequest, v1::SynchronizeResponse>>
      stream_;
  v1::SynchronizeRequest request_;  // its attempts are what it holds
  v1::SynchronizeResponse response_;
  grpc::Status end_;
  bool open_ = false;
  bool writing_ = false;
  bool news_ = false;
  bool told_ = false;
  std::map<Key, v1::AttemptStatus::Phase> held_;
  Clock::duration heartbeat_interval_;
  Clock::time_point next_report_;

  grpc::ClientContext telemetry_context_;
  std::unique_ptr<
      Stream<v1::ReportTelemetryRequest, v1::ReportTelemetryResponse>>
      telemetry_;
  v1::ReportTelemetryRequest points_;
  v1::ReportTelemetryResponse acks_;
  bool telemetry_idle_ = false;  // open, and nothing is under way
  uint64_t sequence_ = 0;
  Clock::time_point next_points_;

  Tag on_open_, on_read_, on_written_, on_finished_;
  Tag on_telemetry_open_, on_telemetry_read_, on_telemetry_written_;
};

}  // namespace trainyard::bench
