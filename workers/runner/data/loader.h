// Reads batches ahead of the training loop, on its own threads, into a ring of
// reused buffers; delivers them strictly in order.
//
//   Loader loader(train, {.batch_size = 64});
//   for (uint64_t epoch = first; epoch < epochs; ++epoch) {
//     RETURN_IF_ERROR(loader.Start(EpochOrder(train.num_samples(), seed,
//     epoch), first_batch)); while (true) {
//       ASSIGN_OR_RETURN(const Batch* batch, loader.Next());
//       if (batch == nullptr) break;  // end of the epoch
//       ...
//     }
//   }
//
// One thread calls Start, Next and the destructor.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "workers/runner/data/dataset.h"

namespace trainyard::data {

// Valid until the next call of Next or Start and while the loader lives.
struct Batch {
  // Place in the epoch: samples index * batch_size and on, of the order.
  uint64_t index = 0;
  // Samples; fewer than batch_size only in the last batch.
  uint32_t size = 0;
  // size x C x H x W. The start is aligned to 64 bytes.
  uint8_t* pixels = nullptr;
  // size.
  int64_t* labels = nullptr;
};

struct LoaderOptions {
  // Samples per batch, at least 1.
  uint32_t batch_size = 64;
  // Reading threads. 0: 1 for datasets in memory, else as many as the machine
  // has cores, at most 16.
  int threads = 0;
  // Batches in the ring, the delivered one included; at least 2. The ring
  // shrinks (to no less than 2) while it would take more than 1 GiB.
  int prefetch_batches = 4;
  // How long Next waits for a batch before it returns DEADLINE_EXCEEDED.
  absl::Duration timeout = absl::Minutes(10);
};

class Loader {
 public:
  // `dataset` must outlive the loader. Threads start with the first Start.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  // Ends the threads; waits at most for the samples being read right now.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Begins an epoch that visits `order` (indices of the dataset), skipping the
  // first start_batch batches. What was left of an earlier epoch is dropped.
  // INVALID_ARGUMENT: an index out of range; RESOURCE_EXHAUSTED: the ring does
  // not fit the memory.
  absl::Status Start(std::vector<uint32_t> order, uint64_t start_batch = 0)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The next batch, or null after the last. An error of reading is delivered in
  // the place of its batch, and again by every later call until Start.
  absl::StatusOr<const Batch*> Next() ABSL_LOCKS_EXCLUDED(mutex_);

  // Batches of the whole epoch, skipped ones included.
  uint64_t num_batches() const { return num_batches_; }
  // Seconds that Next has waited for data since construction: time in which the
  // training loop stood still.
  double wait_seconds() const { return wait_seconds_; }

 private:
  struct Slot;
  struct Chunk;

  absl::Status Allocate();
  void Work();
  bool CanClaimOrEnd() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool HeadIsReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool IsIdle() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return reading_ == 0;
  }
  Chunk Claim() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t BatchSizeOf(uint64_t batch) const;
  Slot& SlotOf(uint64_t batch) const;

  const Dataset& dataset_;
  const LoaderOptions options_;
  const int num_threads_;
  const uint32_t chunk_size_;  // samples a thread takes at once

  // Written by the caller's thread only while no chunk is being read.
  std::vector<uint32_t> order_;
  uint64_t num_batches_ = 0;
  std::vector<std::unique_ptr<Slot>> ring_;
  std::vector<std::thread> threads_;
  double wait_seconds_ = 0;

  absl::Mutex mutex_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;  // no more is read until Start
  int reading_ ABSL_GUARDED_BY(mutex_) = 0;      // chunks being read
  // [head_, head_ + ring) may be filled; head_ is what Next delivers next.
  uint64_t head_ ABSL_GUARDED_BY(mutex_) = 0;
  bool head_is_lent_ ABSL_GUARDED_BY(mutex_) = false;
  // Next chunk to read.
  uint64_t claim_batch_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t claim_offset_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace trainyard::data
