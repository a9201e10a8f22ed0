#include "server/telemetry/job_readings.h"

#include <utility>

namespace trainyard::telemetry {
namespace {

template <typename T>
void Inherit(const std::optional<T>& before, std::optional<T>& now) {
  if (!now.has_value()) now = before;
}

PointReading Merge(const PointReading& before, PointReading now) {
  if (now.total_steps == 0) now.total_steps = before.total_steps;
  if (now.epoch == 0) now.epoch = before.epoch;
  Inherit(before.loss, now.loss);
  Inherit(before.learning_rate, now.learning_rate);
  Inherit(before.samples_per_second, now.samples_per_second);
  Inherit(before.data_wait_seconds, now.data_wait_seconds);
  Inherit(before.step_seconds, now.step_seconds);
  Inherit(before.eta_seconds, now.eta_seconds);
  Inherit(before.validation_loss, now.validation_loss);
  Inherit(before.validation_accuracy, now.validation_accuracy);
  return now;
}

}  // namespace

void JobReadings::Add(AttemptId attempt, const PointReading& point,
                      absl::Time now) {
  absl::MutexLock lock(&mutex_);
  auto [found, added] = jobs_.try_emplace(attempt.job);
  Entry& entry = found->second;
  JobReading& reading = entry.reading;
  if (!added) {
    // Sent again, or of an attempt that is fenced.
    if (attempt.attempt < reading.attempt) return;
    if (attempt.attempt == reading.attempt && point.step < reading.point.step) {
      return;
    }
    ages_.erase(entry.age);
  }
  entry.age = ages_.insert(ages_.end(), attempt.job);
  if (added || attempt.attempt != reading.attempt) {
    reading = {attempt.attempt, point, now};
  } else {
    if (point.step > reading.point.step) reading.last_progress = now;
    reading.point = Merge(reading.point, point);
  }
  if (jobs_.size() > max_jobs_) {
    jobs_.erase(ages_.front());
    ages_.pop_front();
  }
}

std::map<uint64_t, JobReading> JobReadings::Keep(
    absl::FunctionRef<bool(AttemptId)> runs) {
  std::map<uint64_t, JobReading> kept;
  absl::MutexLock lock(&mutex_);
  for (auto it = ages_.begin(); it != ages_.end();) {
    const JobReading& reading = jobs_.at(*it).reading;
    if (runs({*it, reading.attempt})) {
      kept.emplace(*it, reading);
      ++it;
    } else {
      jobs_.erase(*it);
      it = ages_.erase(it);
    }
  }
  return kept;
}

size_t JobReadings::size() const {
  absl::MutexLock lock(&mutex_);
  return jobs_.size();
}

}  // namespace trainyard::telemetry
