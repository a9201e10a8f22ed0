#include "workers/agent/spool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "workers/agent/convert.h"

namespace trainyard::agent {

Spool::Attempt::Attempt(const std::string& prefix, const SpoolOptions& options)
    : points(prefix + "-points", options.memory_bytes / 2),
      lines(prefix + "-lines", options.memory_bytes / 2) {}

Spool::Spool(SpoolOptions options, Clock* clock)
    : options_(std::move(options)), clock_(clock) {}

Spool::Attempt& Spool::Get(const AttemptKey& key) {
  std::unique_ptr<Attempt>& attempt = attempts_[key];
  if (attempt == nullptr) {
    attempt = std::make_unique<Attempt>(
        absl::StrCat(options_.folder, "/", key.job, "-", key.attempt),
        options_);
  }
  return *attempt;
}

void Spool::AddPoint(const AttemptKey& key, v1::MetricPoint point) {
  absl::MutexLock lock(&mutex_);
  Attempt& attempt = Get(key);
  ++attempt.queued;
  const size_t lost =
      attempt.points.Push(attempt.next_order++, point.SerializeAsString());
  attempt.dropped_points += lost;
  attempt.queued -= lost;
  Bound(attempt);
}

void Spool::AddLine(const AttemptKey& key, v1::LogLine line) {
  absl::MutexLock lock(&mutex_);
  Attempt& attempt = Get(key);
  ++attempt.queued;
  const size_t lost =
      attempt.lines.Push(attempt.next_order++, line.SerializeAsString());
  attempt.dropped_lines += lost;
  attempt.queued -= lost;
  Bound(attempt);
}

void Spool::Bound(Attempt& attempt) {
  const auto on_disk = [&] {
    return attempt.points.disk_bytes() + attempt.lines.disk_bytes();
  };
  while (on_disk() > options_.disk_bytes && attempt.points.disk_bytes() > 0) {
    const size_t dropped = attempt.points.DropOldest();
    attempt.dropped_points += dropped;
    attempt.queued -= dropped;
  }
  while (on_disk() > options_.disk_bytes) {
    const size_t dropped = attempt.lines.DropOldest();
    attempt.dropped_lines += dropped;
    attempt.queued -= dropped;
  }
}

bool Spool::WaitForRecords(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return woken_ || CanTake();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
  if (std::exchange(woken_, false)) return false;
  ForgetReleased();
  return CanTake();
}

void Spool::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

bool Spool::CanTake() const {
  return std::any_of(attempts_.begin(), attempts_.end(),
                     [this](const auto& entry) ABSL_SHARED_LOCKS_REQUIRED(
                         mutex_) { return CanTake(*entry.second); });
}

bool Spool::CanTake(const Attempt& attempt) const {
  if (attempt.resend_from < attempt.sent.size()) return true;
  const bool anything = attempt.HasQueued() || attempt.dropped_points > 0 ||
                        attempt.dropped_lines > 0;
  return anything && attempt.sent.size() < options_.max_unacknowledged &&
         attempt.sent_bytes < options_.max_unacknowledged_bytes;
}

std::vector<v1::TelemetryRecord> Spool::Take(size_t max_records,
                                             size_t max_bytes) {
  absl::MutexLock lock(&mutex_);
  std::vector<v1::TelemetryRecord> records;
  size_t bytes = 0;
  // Attempts take turns: one that talks much does not hold up the others.
  auto next = attempts_.upper_bound(last_taken_);
  size_t without = 0;  // attempts in a row with nothing to take
  while (without < attempts_.size() && records.size() < max_records &&
         (records.empty() || bytes < max_bytes)) {
    if (next == attempts_.end()) next = attempts_.begin();
    if (CanTake(*next->second)) {
      records.push_back(TakeOne(next->first, *next->second));
      bytes += records.back().ByteSizeLong();
      last_taken_ = next->first;
      without = 0;
    } else {
      ++without;
    }
    ++next;
  }
  return records;
}

const v1::TelemetryRecord& Spool::TakeOne(const AttemptKey& key,
                                          Attempt& attempt) {
  if (attempt.resend_from == attempt.sent.size()) NumberNext(key, attempt);
  return attempt.sent[attempt.resend_from++];
}

void Spool::NumberNext(const AttemptKey& key, Attempt& attempt) {
  v1::TelemetryRecord record;
  *record.mutable_key() = ToProto(key);
  record.set_sequence(attempt.next_sequence++);
  const bool points = !attempt.points.empty();
  if (attempt.dropped_points > 0 || attempt.dropped_lines > 0) {
    v1::LogLine& line = *record.mutable_line();
    *line.mutable_time() = ToProto(clock_->Now());
    line.set_stream(v1::LogLine::STREAM_WORKER);
    line.set_text(absl::StrCat(
        "the worker could not keep all telemetry while the server was away: ",
        attempt.dropped_points, " points and ", attempt.dropped_lines,
        " lines, the oldest, were dropped"));
    attempt.dropped_points = 0;
    attempt.dropped_lines = 0;
  } else if (points &&
             (attempt.lines.empty() ||
              attempt.points.front().order < attempt.lines.front().order)) {
    record.mutable_point()->ParseFromString(attempt.points.Pop().bytes);
    --attempt.queued;
  } else {
    record.mutable_line()->ParseFromString(attempt.lines.Pop().bytes);
    --attempt.queued;
  }
  attempt.sent_bytes += record.ByteSizeLong();
  attempt.sent.push_back(std::move(record));
}

void Spool::Rewind() {
  absl::MutexLock lock(&mutex_);
  for (auto& [key, attempt] : attempts_) attempt->resend_from = 0;
}

void Spool::Acknowledge(const AttemptKey& key, uint64_t sequence) {
  std::vector<std::function<void()>> done;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = attempts_.find(key);
    if (found == attempts_.end()) return;
    Attempt& attempt = *found->second;
    while (!attempt.sent.empty() &&
           attempt.sent.front().sequence() <= sequence) {
      attempt.sent_bytes -= attempt.sent.front().ByteSizeLong();
      attempt.sent.pop_front();
      if (attempt.resend_from > 0) --attempt.resend_from;
    }
    if (attempt.sent.empty() && attempt.queued == 0) {
      done = std::exchange(attempt.waiters, {});
    }
    ForgetReleased();
  }
  for (const auto& call : done) call();
}

void Spool::WhenAcknowledged(const AttemptKey& key,
                             std::function<void()> done) {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = attempts_.find(key);
    if (found != attempts_.end() &&
        (!found->second->sent.empty() || found->second->queued > 0)) {
      found->second->waiters.push_back(std::move(done));
      return;
    }
  }
  done();
}

void Spool::Release(const AttemptKey& key) {
  absl::MutexLock lock(&mutex_);
  const auto found = attempts_.find(key);
  if (found == attempts_.end()) return;
  found->second->release_at = clock_->Now() + options_.linger;
  found->second->waiters.clear();
  ForgetReleased();
}

void Spool::ForgetReleased() {
  const absl::Time now = clock_->Now();
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    const Attempt& attempt = *it->second;
    const bool released = attempt.release_at != absl::InfiniteFuture();
    const bool delivered = attempt.sent.empty() && attempt.queued == 0;
    if (released && (delivered || now >= attempt.release_at)) {
      it = attempts_.erase(it);
    } else {
      ++it;
    }
  }
}

size_t Spool::pending() const {
  absl::MutexLock lock(&mutex_);
  size_t count = 0;
  for (const auto& [key, attempt] : attempts_) {
    count += attempt->sent.size() + attempt->queued;
  }
  return count;
}

}  // namespace trainyard::agent
