#include "server/rpc/job_feed.h"

#include <algorithm>
#include <utility>

namespace trainyard::rpc {
namespace {

// Changed jobs read at a time.
constexpr size_t kPage = 256;

}  // namespace

JobFeed::JobFeed(engine::Engine* engine, engine::JobReader* jobs)
    : engine_(engine), jobs_(jobs) {
  {
    absl::MutexLock lock(&mutex_);
    newest_ = seen_ = engine_->revision();
  }
  subscription_ = engine_->SubscribeRevision([this](core::Revision revision) {
    absl::MutexLock lock(&mutex_);
    newest_ = std::max(newest_, revision);
  });
  absl::MutexLock lock(&stop_mutex_);
  thread_ = std::thread([this] { Run(); });
}

JobFeed::~JobFeed() { Stop(); }

void JobFeed::Stop() {
  engine_->UnsubscribeRevision(subscription_);
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  absl::MutexLock lock(&stop_mutex_);
  if (thread_.joinable()) thread_.join();
}

uint64_t JobFeed::Watch(std::vector<core::JobId> jobs,
                        std::function<void()> wake) {
  absl::MutexLock lock(&watchers_mutex_);
  const uint64_t id = ++last_watch_;
  if (jobs.empty()) of_any_.insert(id);
  for (const core::JobId job : jobs) by_job_[job].insert(id);
  watchers_.emplace(id, Watcher{std::move(jobs), std::move(wake)});
  return id;
}

void JobFeed::Unwatch(uint64_t watch) {
  absl::MutexLock lock(&watchers_mutex_);
  const auto found = watchers_.find(watch);
  if (found == watchers_.end()) return;
  of_any_.erase(watch);
  for (const core::JobId job : found->second.jobs) {
    const auto ids = by_job_.find(job);
    if (ids == by_job_.end()) continue;
    ids->second.erase(watch);
    if (ids->second.empty()) by_job_.erase(ids);
  }
  watchers_.erase(found);
}

void JobFeed::Run() {
  while (true) {
    core::Revision from = 0;
    core::Revision to = 0;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &JobFeed::HasNews));
      if (stopping_) return;
      from = std::exchange(seen_, newest_);
      to = newest_;
    }
    Tell(from, to);
  }
}

void JobFeed::Tell(core::Revision from, core::Revision to) {
  WakeAll(/*with_jobs=*/false);
  while (from < to && AnyByJob()) {
    const auto changed = jobs_->ChangedJobs({}, from, kPage);
    // They find out themselves what is wrong.
    if (!changed.ok()) return WakeAll(/*with_jobs=*/true);
    if (changed->empty()) return;
    WakeJobs(*changed);
    from = changed->back().revision;
  }
}

bool JobFeed::AnyByJob() {
  absl::MutexLock lock(&watchers_mutex_);
  return !by_job_.empty();
}

void JobFeed::WakeAll(bool with_jobs) {
  absl::MutexLock lock(&watchers_mutex_);
  for (const uint64_t id : of_any_) watchers_.at(id).wake();
  if (!with_jobs) return;
  for (const auto& [id, watcher] : watchers_) {
    if (!watcher.jobs.empty()) watcher.wake();
  }
}

void JobFeed::WakeJobs(const std::vector<engine::StoredJob>& changed) {
  absl::MutexLock lock(&watchers_mutex_);
  for (const engine::StoredJob& job : changed) {
    const auto found = by_job_.find(job.id);
    if (found == by_job_.end()) continue;
    for (const uint64_t id : found->second) watchers_.at(id).wake();
  }
}

}  // namespace trainyard::rpc
