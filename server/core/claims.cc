#include "server/core/claims.h"

namespace trainyard::core {

const Claim* Claims::Find(JobId job) const {
  const auto it = claims_.find(job);
  return it == claims_.end() ? nullptr : &it->second;
}

void Claims::Add(JobId by, const WorkerName& worker, const AttemptKey& victim) {
  Claim& claim = claims_[by];
  if (claim.IsMade() && !claim.worker.empty()) {
    claim.in_vain.insert(claim.worker);
  }
  claim.worker = worker;
  if (claim.victims.insert(victim).second) ++victims_;
}

void Claims::Release(JobId by, const AttemptKey& victim, bool still_waits,
                     absl::Time now) {
  const auto it = claims_.find(by);
  if (it == claims_.end() || it->second.victims.erase(victim) == 0) return;
  --victims_;
  if (!it->second.IsMade()) return;
  it->second.freed = now;
  if (!still_waits) claims_.erase(it);
}

bool Claims::Settle(JobId by) {
  const auto it = claims_.find(by);
  if (it == claims_.end()) return false;
  it->second.in_vain.clear();
  if (!it->second.IsMade()) return true;
  claims_.erase(it);
  return false;
}

}  // namespace trainyard::core
