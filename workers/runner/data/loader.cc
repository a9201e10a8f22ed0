#include "workers/runner/data/loader.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/status_macros.h"

namespace trainyard::data {
namespace {

constexpr int kMaxThreads = 16;
constexpr uint32_t kImagesPerChunk = 8;
constexpr uint64_t kMaxRingBytes = uint64_t{1} << 30;
constexpr uint64_t kNoBatch = std::numeric_limits<uint64_t>::max();
constexpr std::align_val_t kAlignment{64};

struct AlignedDelete {
  void operator()(uint8_t* bytes) const {
    ::operator delete[](bytes, kAlignment);
  }
};

int ThreadsFor(const Dataset& dataset, int wanted) {
  if (wanted > 0) return std::min(wanted, 256);
  if (dataset.in_memory()) return 1;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1,
                    kMaxThreads);
}

// Small enough that all threads share the first batch and that the destructor
// waits little; a copy of memory is taken whole.
uint32_t ChunkFor(const Dataset& dataset, uint32_t batch_size, int threads) {
  const uint32_t count = static_cast<uint32_t>(threads);
  const uint32_t share =
      std::max<uint32_t>(1, batch_size / count + (batch_size % count != 0));
  return dataset.in_memory() ? share : std::min(share, kImagesPerChunk);
}

}  // namespace

// One buffer of the ring. `filled` and `error` are guarded by the loader's
// mutex; each thread writes its own part of the buffers without it.
struct Loader::Slot {
  std::unique_ptr<uint8_t[], AlignedDelete> pixels;
  std::vector<int64_t> labels;
  Batch batch{kNoBatch};
  uint32_t filled = 0;
  absl::Status error;
};

struct Loader::Chunk {
  uint64_t batch = 0;
  uint32_t offset = 0;
  uint32_t size = 0;
};

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(options),
      num_threads_(ThreadsFor(dataset, options.threads)),
      chunk_size_(
          ChunkFor(dataset, std::max(1u, options.batch_size), num_threads_)) {}

Loader::~Loader() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Loader::Start(std::vector<uint32_t> order, uint64_t start_batch) {
  if (options_.batch_size == 0)
    return absl::InvalidArgumentError("batch_size is 0");
  for (uint32_t index : order) {
    if (index >= dataset_.num_samples()) {
      return absl::InvalidArgumentError(
          absl::StrCat("sample ", index, " is out of range: there are ",
                       dataset_.num_samples()));
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    failed_ = true;  // nothing more of the last epoch is claimed
    head_is_lent_ = false;
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &Loader::IsIdle),
                                 options_.timeout)) {
      return absl::DeadlineExceededError(
          absl::StrCat("samples are still being read after ",
                       absl::FormatDuration(options_.timeout)));
    }
    order_ = std::move(order);
    num_batches_ =
        (order_.size() + options_.batch_size - 1) / options_.batch_size;
    if (absl::Status status = Allocate(); !status.ok()) {
      num_batches_ = 0;  // there is no ring to deliver from
      return status;
    }
    head_ = claim_batch_ = std::min(start_batch, num_batches_);
    claim_offset_ = 0;
    failed_ = false;
  }
  try {
    while (threads_.size() < static_cast<size_t>(num_threads_)) {
      threads_.emplace_back([this] { Work(); });
    }
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start a reading thread: ", error.what()));
  }
  return absl::OkStatus();
}

// Empties the ring; makes it anew when its buffers are too small for this
// order.
absl::Status Loader::Allocate() {
  const uint64_t samples =
      std::min<uint64_t>(options_.batch_size, order_.size());
  const uint64_t bytes =
      samples * static_cast<uint64_t>(dataset_.sample_shape().size());
  if (!ring_.empty() && ring_.front()->labels.size() >= samples) {
    for (std::unique_ptr<Slot>& slot : ring_) slot->batch.index = kNoBatch;
    return absl::OkStatus();
  }
  const uint64_t wanted =
      static_cast<uint64_t>(std::max(2, options_.prefetch_batches));
  const uint64_t fitting = kMaxRingBytes / std::max<uint64_t>(1, bytes);
  const uint64_t slots = std::clamp<uint64_t>(fitting, 2, wanted);
  ring_.clear();
  const auto no_memory = [&] {
    ring_.clear();
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory for ", slots, " batches of ", samples, " samples (", bytes,
        " bytes each); a smaller batch_size would help"));
  };
  try {
    while (ring_.size() < slots) {
      auto slot = std::make_unique<Slot>();
      slot->pixels.reset(new (kAlignment) uint8_t[bytes]);
      slot->labels.resize(samples);
      ring_.push_back(std::move(slot));
    }
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
  return absl::OkStatus();
}

absl::StatusOr<const Batch*> Loader::Next() {
  absl::MutexLock lock(&mutex_);
  if (head_is_lent_) {
    head_is_lent_ = false;
    ++head_;
  }
  if (head_ >= num_batches_) return nullptr;
  if (!HeadIsReady()) {
    const auto begin = std::chrono::steady_clock::now();
    const bool ready = mutex_.AwaitWithTimeout(
        absl::Condition(this, &Loader::HeadIsReady), options_.timeout);
    wait_seconds_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count();
    if (!ready) {
      return absl::DeadlineExceededError(
          absl::StrCat("batch ", head_, " was not read within ",
                       absl::FormatDuration(options_.timeout)));
    }
  }
  const Slot& slot = SlotOf(head_);
  if (!slot.error.ok()) return slot.error;
  head_is_lent_ = true;
  return &slot.batch;
}

void Loader::Work() {
  while (true) {
    Chunk chunk;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &Loader::CanClaimOrEnd));
      if (ending_) return;
      chunk = Claim();
      ++reading_;
    }
    Slot& slot = SlotOf(chunk.batch);
    const uint64_t first = chunk.batch * options_.batch_size + chunk.offset;
    absl::Status status;
    try {
      status = dataset_.Read(
          absl::MakeConstSpan(order_).subspan(first, chunk.size),
          slot.batch.pixels + chunk.offset * dataset_.sample_shape().size(),
          slot.batch.labels + chunk.offset);
    } catch (const std::exception& error) {  // std::bad_alloc
      status = absl::ResourceExhaustedError(
          absl::StrCat("reading samples: ", error.what()));
    }
    absl::MutexLock lock(&mutex_);
    --reading_;
    slot.filled += chunk.size;
    if (!status.ok()) {
      if (slot.error.ok()) slot.error = std::move(status);
      failed_ = true;
    }
  }
}

bool Loader::CanClaimOrEnd() const {
  if (ending_) return true;
  return !failed_ && claim_batch_ < num_batches_ &&
         claim_batch_ - head_ < ring_.size();
}

bool Loader::HeadIsReady() const {
  const Slot& slot = SlotOf(head_);
  return slot.batch.index == head_ &&
         (!slot.error.ok() || slot.filled == slot.batch.size);
}

Loader::Chunk Loader::Claim() {
  Slot& slot = SlotOf(claim_batch_);
  if (claim_offset_ == 0) {
    slot.batch = {claim_batch_, BatchSizeOf(claim_batch_), slot.pixels.get(),
                  slot.labels.data()};
    slot.filled = 0;
    slot.error = absl::OkStatus();
  }
  const Chunk chunk{claim_batch_, claim_offset_,
                    std::min(chunk_size_, slot.batch.size - claim_offset_)};
  claim_offset_ += chunk.size;
  if (claim_offset_ == slot.batch.size) {
    ++claim_batch_;
    claim_offset_ = 0;
  }
  return chunk;
}

uint32_t Loader::BatchSizeOf(uint64_t batch) const {
  const uint64_t first = batch * options_.batch_size;
  return static_cast<uint32_t>(
      std::min<uint64_t>(options_.batch_size, order_.size() - first));
}

Loader::Slot& Loader::SlotOf(uint64_t batch) const {
  return *ring_[batch % ring_.size()];
}

}  // namespace trainyard::data
