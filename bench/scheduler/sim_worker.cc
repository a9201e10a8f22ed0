#include "bench/scheduler/sim_worker.h"

#include "absl/strings/str_cat.h"

namespace trainyard::bench {
namespace {

constexpr std::chrono::seconds kPointInterval(1);
// Of the longest pause that the server allows, as the real worker has it.
constexpr double kHeartbeatShare = 0.8;

// Spreads workers evenly over an interval: they do not start as one.
SimWorker::Clock::duration Offset(int number,
                                  SimWorker::Clock::duration interval) {
  return interval * (number * 617 % 1000) / 1000;
}

}  // namespace

SimWorker::SimWorker(int number, const SimFleetOptions& options,
                     SimFleetCounts* counts,
                     const std::shared_ptr<grpc::Channel>& channel)
    : options_(options),
      counts_(counts),
      stub_(v1::WorkerService::NewStub(channel)),
      heartbeat_interval_(std::chrono::seconds(2)),
      on_open_{this, &SimWorker::OnOpen},
      on_read_{this, &SimWorker::OnRead},
      on_written_{this, &SimWorker::OnWritten},
      on_finished_{this, &SimWorker::OnFinished},
      on_telemetry_open_{this, &SimWorker::OnTelemetryOpen},
      on_telemetry_read_{this, &SimWorker::OnTelemetryRead},
      on_telemetry_written_{this, &SimWorker::OnTelemetryWritten} {
  request_.set_worker(absl::StrCat("bench-", number));
  request_.set_instance_id(absl::StrCat("instance-", number));
  request_.set_version("bench");
  request_.set_platform("linux x86_64");
  for (int i = 0; i < options.devices; ++i) {
    v1::Device& device = *request_.add_devices();
    device.set_id(absl::StrCat("cuda:GPU-00000000-0000-0000-0000-", i));
    device.set_kind(v1::DEVICE_KIND_CUDA);
    device.set_model("NVIDIA H200");
    device.set_memory_bytes(uint64_t{141} << 30);
    device.set_free_memory_bytes(uint64_t{100} << 30);
    device.set_utilization(0.5);
    device.set_temperature_celsius(61.5);
    device.set_power_watts(412.25);
  }
  request_.mutable_disk()->set_free_bytes(uint64_t{1} << 38);
  request_.mutable_disk()->set_size_bytes(uint64_t{1} << 40);
  points_.set_worker(request_.worker());
  next_report_ = Clock::now() + Offset(number, heartbeat_interval_);
  next_points_ = Clock::now() + Offset(number, kPointInterval);
}

void SimWorker::Start(grpc::CompletionQueue* queue) {
  queue_ = queue;
  stream_ = stub_->PrepareAsyncSynchronize(&context_, queue);
  stream_->StartCall(&on_open_);
  if (!options_.telemetry) return;
  telemetry_ = stub_->PrepareAsyncReportTelemetry(&telemetry_context_, queue);
  telemetry_->StartCall(&on_telemetry_open_);
}

void SimWorker::OnTimer(Clock::time_point now) {
  if (now >= next_report_) Report();
  if (!options_.telemetry || now < next_points_) return;
  next_points_ += kPointInterval;
  SendPoints();
}

void SimWorker::Cancel() {
  cancelled_ = true;
  context_.TryCancel();
  telemetry_context_.TryCancel();
}

// ---- what it is, and what it should be

void SimWorker::OnOpen(bool ok) {
  if (!ok) return stream_->Finish(&end_, &on_finished_);
  open_ = true;
  stream_->Read(&response_, &on_read_);
  Report();
}

void SimWorker::Report() {
  if (!open_) return;
  if (writing_) {
    news_ = true;
    return;
  }
  writing_ = true;
  news_ = false;
  ++counts_->reports;
  request_.clear_attempts();
  for (const auto& [key, phase] : held_) {
    v1::AttemptStatus& status = *request_.add_attempts();
    status.mutable_key()->set_job(key.first);
    status.mutable_key()->set_attempt(key.second);
    status.set_phase(phase);
    if (phase == v1::AttemptStatus::PHASE_ENDED) {
      status.set_outcome(v1::Attempt::OUTCOME_SUCCEEDED);
    }
  }
  next_report_ = Clock::now() + heartbeat_interval_;
  stream_->Write(request_, &on_written_);
}

void SimWorker::OnWritten(bool ok) {
  writing_ = false;
  if (ok && news_) Report();
}

void SimWorker::OnRead(bool ok) {
  if (!ok) {
    open_ = false;
    return stream_->Finish(&end_, &on_finished_);
  }
  const bool news = Take(response_);
  stream_->Read(&response_, &on_read_);
  if (news) Report();
}

bool SimWorker::Take(const v1::SynchronizeResponse& response) {
  if (!std::exchange(told_, true)) ++counts_->told;
  request_.set_applied_sequence(response.sequence());
  const auto& interval = response.heartbeat_interval();
  heartbeat_interval_ = std::chrono::duration_cast<Clock::duration>(
      kHeartbeatShare * (std::chrono::seconds(interval.seconds()) +
                         std::chrono::nanoseconds(interval.nanos())));
  const auto phase = options_.end_at_once ? v1::AttemptStatus::PHASE_ENDED
                                          : v1::AttemptStatus::PHASE_RUNNING;
  std::map<Key, v1::AttemptStatus::Phase> held;
  bool news = false;
  for (const v1::DesiredAttempt& attempt : response.attempts()) {
    const Key key(attempt.key().job(), attempt.key().attempt());
    const bool known = held_.contains(key);
    held[key] = phase;
    if (known) continue;
    news = true;
    ++counts_->started;
    if (options_.on_attempt) options_.on_attempt(Clock::now());
  }
  for (const auto& [key, unused] : held_) {
    if (!held.contains(key)) ++counts_->ended;
  }
  held_ = std::move(held);
  return news;
}

void SimWorker::OnFinished(bool ok) {
  if (cancelled_ || !ok) return;
  status_ = absl::UnavailableError(
      absl::StrCat("the stream of ", request_.worker(), " ended with code ",
                   end_.error_code(), ": ", end_.error_message()));
}

// ---- telemetry: a message, its acknowledgement, the next

void SimWorker::OnTelemetryOpen(bool ok) { telemetry_idle_ = ok; }

void SimWorker::SendPoints() {
  if (!telemetry_idle_ || held_.empty()) return;
  telemetry_idle_ = false;
  points_.clear_records();
  ++sequence_;
  for (const auto& [key, phase] : held_) {
    v1::TelemetryRecord& record = *points_.add_records();
    record.mutable_key()->set_job(key.first);
    record.mutable_key()->set_attempt(key.second);
    record.set_sequence(sequence_);
    v1::MetricPoint& point = *record.mutable_point();
    point.set_step(100 * sequence_);
    point.set_total_steps(100000);
    point.set_epoch(3);
    point.set_loss(0.31731);
    point.set_learning_rate(0.01);
    point.set_samples_per_second(123456.7);
    point.set_step_seconds(0.0123);
    point.set_rss_bytes(uint64_t{3} << 30);
    v1::DeviceUsage& usage = *point.add_devices();
    usage.set_id(request_.devices(0).id());
    usage.set_utilization(0.875);
    usage.set_memory_bytes(uint64_t{40} << 30);
  }
  telemetry_->Write(points_, &on_telemetry_written_);
}

void SimWorker::OnTelemetryWritten(bool ok) {
  if (ok) telemetry_->Read(&acks_, &on_telemetry_read_);
}

void SimWorker::OnTelemetryRead(bool ok) {
  if (!ok) {
    if (!cancelled_) {
      status_ = absl::UnavailableError(
          absl::StrCat("the telemetry of ", request_.worker(), " broke"));
    }
    return;
  }
  counts_->points += static_cast<uint64_t>(acks_.acks_size());
  telemetry_idle_ = true;
}

}  // namespace trainyard::bench
