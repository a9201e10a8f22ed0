// The threads on which an ensemble's members predict: several batches are on
// their way at once, so that a fast member need not wait for a slow one, and
// never more than the window holds.
//
//   MemberPool pool(members, options);
//   RETURN_IF_ERROR(pool.Start());
//   pool.Submit({index, samples, images});
//   ASSIGN_OR_RETURN(const MemberPool::Results* done, pool.Oldest(timeout));
//   ... pool.Release();
//
// One thread calls these; a member is never run by two threads at once. A batch
// is fed to every member from the same tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "workers/runner/ensemble/inference_model.h"
#include "workers/runner/ensemble/member_batch.h"

namespace trainyard::runner {

struct PooledMember {
  std::string name;
  std::unique_ptr<InferenceModel> model;
  size_t device = 0;  // in MemberPoolOptions::shares
  size_t feed = 0;    // which of a batch's tensors it is given
};

struct MemberPoolOptions {
  // Per device: the intra-op threads of each of its threads.
  std::vector<std::vector<int>> shares;
  int64_t classes = 0;
  uint32_t mc_samples = 1;
  uint64_t seed = 0;
  // Batches that may be on their way, at least 1.
  size_t window = 3;
};

class MemberPool {
 public:
  // A batch: normalised images, one tensor per feed, each on its device.
  struct Work {
    uint64_t index = 0;
    uint64_t first = 0;  // its first sample's index
    int64_t samples = 0;
    std::vector<at::Tensor> images;
  };
  // In the members' order; each is finished.
  struct Results {
    uint64_t index = 0;
    std::vector<MemberBatch> members;
  };

  // Borrows the members.
  MemberPool(absl::Span<const PooledMember> members,
             const MemberPoolOptions& options);
  // Ends the threads; waits for the passes that run right now.
  ~MemberPool();
  // Once, first. RESOURCE_EXHAUSTED: there are no more threads to be had.
  absl::Status Start() ABSL_LOCKS_EXCLUDED(mutex_);
  MemberPool(const MemberPool&) = delete;
  MemberPool& operator=(const MemberPool&) = delete;

  bool full() const { return in_flight() == options_.window; }
  size_t in_flight() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The pool is not full.
  void Submit(Work work) ABSL_LOCKS_EXCLUDED(mutex_);
  // The batch submitted first, once every member has predicted it; null when
  // that takes longer. A member's error ends everything: it names the member.
  // Something is in flight.
  absl::StatusOr<const Results*> Oldest(absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives that batch's buffers back.
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

  // How often a member runs each batch: mc_samples where it has dropout.
  uint32_t passes(size_t member) const;
  // Seconds the member has worked so far.
  double forward_seconds(size_t member) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The most batches that were ever in flight.
  size_t peak_in_flight() const ABSL_LOCKS_EXCLUDED(mutex_);
  // How many members predict at once.
  size_t threads() const { return threads_.size(); }

 private:
  struct Slot {
    Work work;
    Results results;
    size_t left = 0;  // members that have not predicted it
  };
  struct State {
    uint64_t next = 0;  // how many batches it has begun, from the first on
    bool busy = false;
    double seconds = 0;
  };

  void Run(size_t device, int share);
  bool IsReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ready_ == threads_.size();
  }
  bool OldestIsReadyOrFailed() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // A member of the device that has something to do, the one that is furthest
  // behind; -1: none.
  int Claimable(size_t device) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status Predict(size_t member, const Work& work, MemberBatch* to);

  const MemberPoolOptions options_;
  const absl::Span<const PooledMember> members_;
  std::vector<std::thread> threads_;

  mutable absl::Mutex mutex_;
  size_t ready_ ABSL_GUARDED_BY(mutex_) = 0;  // threads
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  // Places stay as they are: a thread works in a slot without the mutex.
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  uint64_t released_ ABSL_GUARDED_BY(mutex_) = 0;  // batches before slots_
  std::vector<State> states_ ABSL_GUARDED_BY(mutex_);
  size_t peak_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  // Buffers of batches that were released.
  std::vector<std::vector<MemberBatch>> spare_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::runner
