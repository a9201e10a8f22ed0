#include "server/core/desired.h"

#include <utility>

namespace trainyard::core {

Desired DeriveDesired(const Cluster& cluster, const WorkerName& name) {
  Desired desired;
  desired.revision = cluster.revision();
  const Worker* worker = cluster.FindWorker(name);
  if (worker == nullptr) return desired;
  desired.instance = worker->instance;
  desired.draining = worker->draining;
  for (const AttemptKey& key : worker->attempts) {
    const Job* job = cluster.FindJob(key.job);
    if (job == nullptr || job->attempt->instance != worker->instance) continue;
    DesiredAttempt attempt;
    attempt.key = key;
    attempt.devices = job->attempt->devices;
    attempt.checkpoint = job->checkpoint();
    if (job->cancel_requested || job->attempt->overdue ||
        job->attempt->grace_ended) {
      attempt.action = Action::kCancel;
    } else if (worker->draining || worker->leaving ||
               job->attempt->preemption.has_value()) {
      attempt.action = Action::kPreempt;
    }
    desired.attempts.push_back(std::move(attempt));
  }
  return desired;
}

}  // namespace trainyard::core
