#include "workers/agent/session.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "workers/agent/convert.h"

namespace trainyard::agent {
namespace {

// Bounds on what a server may ask for.
constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(10);
constexpr absl::Duration kLongestHeartbeat = absl::Minutes(1);

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeWorkerChannel(const std::string& server,
                                                 const Security& security) {
  grpc::ChannelArguments arguments;
  // A peer that vanished without a word is noticed within half a minute.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC pauses between its own tries too: ours are to be the longer ones.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  // Several specs of up to 1 MiB each may come in one message.
  arguments.SetMaxReceiveMessageSize(256 * 1024 * 1024);
  return MakeChannel(server, security, arguments);
}

Session::Session(SessionOptions options, std::shared_ptr<grpc::Channel> channel,
                 SessionCallbacks callbacks)
    : options_(std::move(options)),
      stub_(v1::WorkerService::NewStub(std::move(channel))),
      callbacks_(std::move(callbacks)),
      heartbeat_interval_(options_.heartbeat_interval) {}

Session::~Session() { Stop(absl::ZeroDuration()); }

void Session::Start() {
  absl::MutexLock lock(&mutex_);
  finished_ = false;
  thread_ = std::thread([this] { Run(); });
}

void Session::Publish(Snapshot snapshot) {
  absl::MutexLock lock(&mutex_);
  snapshot_ = std::move(snapshot);
  changed_ = true;
}

void Session::Stop(absl::Duration drain) {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    mutex_.AwaitWithTimeout(absl::Condition(&finished_), drain);
    if (!finished_ && context_ != nullptr) context_->TryCancel();
    broken_ = true;
  }
  thread_.join();
}

bool Session::stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

void Session::Run() {
  Backoff backoff(options_.backoff, options_.seed);
  for (uint64_t stream = 1;; ++stream) {
    grpc::Status status;
    if (Converse(stream, status)) backoff.Reset();
    if (!stopping()) callbacks_.on_disconnected(status);
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), backoff.Next())) {
      finished_ = true;
      return;
    }
  }
}

bool Session::Converse(uint64_t stream_number, grpc::Status& status) {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return false;
    context_ = &context;
    broken_ = false;
    changed_ = true;  // a new stream starts with the whole state
  }
  callbacks_.on_open({.stream = stream_number});
  const std::unique_ptr<Stream> stream = stub_->Synchronize(&context);
  bool answered = false;
  std::thread reader([&] {
    answered = Read(*stream, stream_number);
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  });
  Write(*stream, stream_number);
  // The reader ends by itself when the call is over; when we are the one who
  // ends it, the server does, and Stop cancels if that takes too long.
  if (stopping()) stream->WritesDone();
  reader.join();
  {
    absl::MutexLock lock(&mutex_);
    context_ = nullptr;
  }
  status = stream->Finish();
  return answered;
}

void Session::Write(Stream& stream, uint64_t stream_number) {
  absl::Time last_sent = absl::InfinitePast();
  Snapshot snapshot;
  for (bool last = false; !last;) {
    if (!AwaitDue(last_sent, snapshot, last)) return;
    last_sent = absl::Now();
    if (!stream.Write(MakeRequest(snapshot, stream_number))) return;
    callbacks_.on_sent();
  }
}

bool Session::AwaitDue(absl::Time last_sent, Snapshot& snapshot, bool& last) {
  absl::MutexLock lock(&mutex_);
  const auto due = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return changed_ || broken_ || stopping_;
  };
  // A little early: the network takes its time too.
  mutex_.AwaitWithDeadline(absl::Condition(&due),
                           last_sent + heartbeat_interval_ * 0.8);
  if (broken_ || (stopping_ && !changed_)) return false;
  changed_ = false;
  snapshot = snapshot_;
  last = stopping_;
  return true;
}

v1::SynchronizeRequest Session::MakeRequest(const Snapshot& snapshot,
                                            uint64_t stream_number) const {
  v1::SynchronizeRequest request;
  request.set_worker(options_.worker);
  request.set_instance_id(options_.instance_id);
  request.set_version(options_.version);
  request.set_platform(options_.platform);
  request.mutable_labels()->insert(options_.labels.begin(),
                                   options_.labels.end());
  const MachineReport machine = callbacks_.describe_machine();
  for (const DeviceReport& device : machine.devices) {
    *request.add_devices() = ToProto(device);
  }
  if (machine.disk) {
    request.mutable_disk()->set_free_bytes(machine.disk->free_bytes);
    request.mutable_disk()->set_size_bytes(machine.disk->size_bytes);
  }
  request.set_leaving(snapshot.leaving);
  for (const AttemptStatus& attempt : snapshot.attempts) {
    *request.add_attempts() = ToProto(attempt);
  }
  // A sequence of another stream says nothing on this one.
  if (snapshot.stream == stream_number) {
    request.set_applied_sequence(snapshot.applied_sequence);
  }
  return request;
}

bool Session::Read(Stream& stream, uint64_t stream_number) {
  bool answered = false;
  v1::SynchronizeResponse response;
  while (stream.Read(&response)) {
    if (response.has_heartbeat_interval()) {
      absl::MutexLock lock(&mutex_);
      const absl::Duration asked =
          std::clamp(FromProto(response.heartbeat_interval()),
                     kShortestHeartbeat, kLongestHeartbeat);
      // The wait in progress still goes by the old one: end it.
      if (std::exchange(heartbeat_interval_, asked) != asked) changed_ = true;
    }
    if (!std::exchange(answered, true)) callbacks_.on_connected();
    callbacks_.on_desired({.stream = stream_number,
                           .sequence = response.sequence(),
                           .attempts = agent::FromProto(response)});
  }
  return answered;
}

}  // namespace trainyard::agent
