#include "server/telemetry/hub.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace trainyard::telemetry {
namespace {

// What an entry costs beyond its payload.
constexpr size_t kEntryOverhead = 64;

size_t Bytes(const std::vector<Entry>& entries) {
  size_t bytes = 0;
  for (const Entry& entry : entries)
    bytes += entry.payload.size() + kEntryOverhead;
  return bytes;
}

}  // namespace

Hub::Hub(HubOptions options, PointStore* points, Observer observer)
    : options_(options), points_(points), observer_(std::move(observer)) {
  absl::MutexLock lock(&stop_mutex_);
  thread_ = std::thread([this] { Run(); });
}

Hub::~Hub() { Stop(); }

void Hub::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  absl::MutexLock lock(&stop_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Hub::Ingest(std::vector<Entry> entries, Done done) {
  const size_t bytes = Bytes(entries);
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = absl::UnavailableError("the server stops");
    } else if (queued_bytes_ + bytes > options_.queue_bytes) {
      refused = absl::ResourceExhaustedError(
          "too much telemetry waits to be stored: send it again later");
    } else {
      queued_bytes_ += bytes;
      queue_.push_back({std::move(entries), bytes, std::move(done)});
      return;
    }
  }
  done(refused);
}

void Hub::Run() {
  while (true) {
    std::vector<Report> reports = TakeReports();
    if (reports.empty()) return;
    Store(std::move(reports));
  }
}

// Waits for work; none: stopped.
std::vector<Hub::Report> Hub::TakeReports() {
  std::vector<Report> reports;
  size_t count = 0;
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &Hub::Takeable));
  while (!queue_.empty() &&
         (reports.empty() || count < options_.batch_entries)) {
    count += queue_.front().entries.size();
    queued_bytes_ -= queue_.front().bytes;
    reports.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return reports;
}

void Hub::Store(std::vector<Report> reports) {
  std::vector<Entry> all;
  for (Report& report : reports) {
    std::move(report.entries.begin(), report.entries.end(),
              std::back_inserter(all));
  }
  const absl::Status status = points_->Append(all);
  if (status.ok()) {
    absl::flat_hash_set<uint64_t> jobs;
    {
      absl::MutexLock lock(&mutex_);
      for (const Entry& entry : all) {
        jobs.insert(entry.attempt.job);
        if (entry.progress.has_value()) {
          Remember(entry.attempt.job, *entry.progress);
        }
      }
    }
    for (const Entry& entry : all) {
      if (entry.reading != nullptr && observer_ != nullptr) observer_(entry);
    }
    Wake(std::vector<uint64_t>(jobs.begin(), jobs.end()));
  }
  for (Report& report : reports) report.done(status);
}

void Hub::Remember(uint64_t job, const Progress& progress) {
  auto [found, added] = newest_.try_emplace(job);
  if (!added) ages_.erase(found->second.age);
  const Progress before = found->second.progress;
  Progress& now = found->second.progress = progress;
  if (!now.samples_per_second.has_value())
    now.samples_per_second = before.samples_per_second;
  if (!now.loss.has_value()) now.loss = before.loss;
  found->second.age = ages_.insert(ages_.end(), job);
  if (newest_.size() > options_.progress_jobs) {
    newest_.erase(ages_.front());
    ages_.pop_front();
  }
}

void Hub::Wake(const std::vector<uint64_t>& jobs) {
  absl::MutexLock lock(&subscribers_mutex_);
  for (const uint64_t job : jobs) {
    const auto found = by_job_.find(job);
    if (found == by_job_.end()) continue;
    for (const uint64_t id : found->second) subscribers_.at(id).wake();
  }
}

uint64_t Hub::Subscribe(uint64_t job, std::function<void()> wake) {
  absl::MutexLock lock(&subscribers_mutex_);
  const uint64_t id = ++last_subscription_;
  subscribers_.emplace(id, Subscriber{job, std::move(wake)});
  by_job_[job].push_back(id);
  return id;
}

void Hub::Unsubscribe(uint64_t subscription) {
  absl::MutexLock lock(&subscribers_mutex_);
  const auto found = subscribers_.find(subscription);
  if (found == subscribers_.end()) return;
  const auto ids = by_job_.find(found->second.job);
  ids->second.erase(
      std::remove(ids->second.begin(), ids->second.end(), subscription),
      ids->second.end());
  if (ids->second.empty()) by_job_.erase(ids);
  subscribers_.erase(found);
}

std::optional<Progress> Hub::Latest(uint64_t job) const {
  absl::MutexLock lock(&mutex_);
  const auto found = newest_.find(job);
  if (found == newest_.end()) return std::nullopt;
  return found->second.progress;
}

void Hub::Recall(uint64_t job, const Progress& progress) {
  absl::MutexLock lock(&mutex_);
  if (!newest_.contains(job)) Remember(job, progress);
}

}  // namespace trainyard::telemetry
