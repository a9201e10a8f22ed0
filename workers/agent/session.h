// The conversation with the server: one Synchronize stream, opened again with
// backoff whenever it breaks. Level-triggered: the newest state, whole,
// whenever it changed and at least once per heartbeat interval.
//
//   Session session(options, channel, callbacks);
//   session.Publish(core.snapshot());  session.Start();
//   …
//   session.Stop();
//
// Thread-safe. Two threads: one writes and reconnects, one reads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "proto/channel/channel.h"
#include "trainyard/v1/worker_service.grpc.pb.h"
#include "workers/agent/backoff.h"
#include "workers/agent/core.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

struct SessionOptions {
  std::string worker;
  std::string instance_id;
  std::string version;
  std::string platform;
  std::map<std::string, std::string> labels;
  BackoffOptions backoff;
  uint32_t seed = 0;  // of the backoff
  // Until the server says otherwise.
  absl::Duration heartbeat_interval = absl::Seconds(2);
};

// Called on the session's threads; must not block for long.
struct SessionCallbacks {
  // Fresh, for each message.
  std::function<MachineReport()> describe_machine;
  std::function<void(StreamOpened)> on_open;
  std::function<void(DesiredReceived)> on_desired;
  // The first answer on a stream: the server took us.
  std::function<void()> on_connected;
  // The stream broke, or could not be opened; why.
  std::function<void(const grpc::Status&)> on_disconnected;
  // A message went out: the heart beats.
  std::function<void()> on_sent = [] {};
};

class Session {
 public:
  Session(SessionOptions options, std::shared_ptr<grpc::Channel> channel,
          SessionCallbacks callbacks);
  ~Session();  // stops
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start();
  // The newest state; replaces one that was not sent yet.
  void Publish(Snapshot snapshot);
  // Sends what was published last, if the stream stands, and ends the
  // conversation; takes at most `drain`. Idempotent.
  void Stop(absl::Duration drain = absl::Seconds(1));

 private:
  using Stream =
      grpc::ClientReaderWriter<v1::SynchronizeRequest, v1::SynchronizeResponse>;

  bool stopping();
  void Run();
  // One stream, from its opening to its end. True if the server answered.
  bool Converse(uint64_t stream_number, grpc::Status& status);
  void Write(Stream& stream, uint64_t stream_number);
  bool Read(Stream& stream, uint64_t stream_number);
  // Waits until a message is due; false: the stream is over.
  bool AwaitDue(absl::Time last_sent, Snapshot& snapshot, bool& last);
  v1::SynchronizeRequest MakeRequest(const Snapshot& snapshot,
                                     uint64_t stream_number) const;

  const SessionOptions options_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const SessionCallbacks callbacks_;

  absl::Mutex mutex_;
  Snapshot snapshot_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;  // since it was last sent
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;   // the stream in use
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time cancel_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool finished_ ABSL_GUARDED_BY(mutex_) = true;  // the thread
  absl::Duration heartbeat_interval_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// Channel arguments for a worker: keepalive, message sizes.
std::shared_ptr<grpc::Channel> MakeWorkerChannel(const std::string& server,
                                                 const Security& security);

}  // namespace trainyard::agent
