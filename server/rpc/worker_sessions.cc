#include "server/rpc/worker_sessions.h"

#include <utility>

namespace trainyard::rpc {

void WorkerSessions::Open(const core::WorkerName& worker,
                          const std::shared_ptr<Session>& session) {
  std::shared_ptr<Session> older;
  {
    absl::MutexLock lock(&mutex_);
    older = std::exchange(sessions_[worker], session);
  }
  if (older != nullptr) older->OnReplaced();
}

void WorkerSessions::Close(const core::WorkerName& worker,
                           const Session* session,
                           absl::FunctionRef<void()> gone) {
  std::shared_ptr<Session> last;  // let go of without the lock
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(worker);
  if (found == sessions_.end() || found->second.get() != session) return;
  last = std::move(found->second);
  sessions_.erase(found);
  gone();
}

}  // namespace trainyard::rpc
