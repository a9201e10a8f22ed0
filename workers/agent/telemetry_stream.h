// Sends what the spool holds over one ReportTelemetry stream, opened when there
// is something to send and again, with backoff, when it breaks. Nothing is lost
// or doubled by that: records are numbered, and stay in the spool until they
// are acknowledged.
//
//   TelemetryStream stream("mac-1", channel, &spool, seed);
//   …
//   stream.Stop();
//
// Thread-safe. Two threads: one writes and reconnects, one reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/channel.h"
#include "trainyard/v1/worker_service.grpc.pb.h"
#include "workers/agent/backoff.h"
#include "workers/agent/spool.h"

namespace trainyard::agent {

class TelemetryStream {
 public:
  TelemetryStream(std::string worker, std::shared_ptr<grpc::Channel> channel,
                  Spool* spool, BackoffOptions backoff, uint32_t seed);
  ~TelemetryStream();  // stops
  TelemetryStream(const TelemetryStream&) = delete;
  TelemetryStream& operator=(const TelemetryStream&) = delete;

  // The server was heard: ends a pause before the next try.
  void OnServerBack();
  void Stop();

 private:
  using Stream = grpc::ClientReaderWriter<v1::ReportTelemetryRequest,
                                          v1::ReportTelemetryResponse>;

  void Run();
  bool Converse();  // true if anything was acknowledged
  bool Over();

  const std::string worker_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  Spool* const spool_;
  const BackoffOptions backoff_;
  const uint32_t seed_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool server_is_back_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace trainyard::agent
