#include "workers/runner/ensemble/member_pool.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "workers/runner/data/prng.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

constexpr uint64_t kDropoutPurpose = 0x64726f70;  // keeps its draws to itself

using SteadyClock = std::chrono::steady_clock;

// A generator of masks on the device, its state set by what is drawn for.
at::Generator MaskGenerator(const at::Tensor& images, uint64_t seed,
                            size_t member, uint64_t batch) {
  at::Generator generator =
      at::globalContext().defaultGenerator(images.device()).clone();
  generator.set_current_seed(
      data::MixSeed(data::MixSeed(seed ^ kDropoutPurpose, member), batch));
  return generator;
}

}  // namespace

MemberPool::MemberPool(absl::Span<const PooledMember> members,
                       const MemberPoolOptions& options)
    : options_(options), members_(members), states_(members_.size()) {}

absl::Status MemberPool::Start() {
  try {
    for (size_t device = 0; device < options_.shares.size(); ++device) {
      for (const int share : options_.shares[device]) {
        threads_.emplace_back([this, device, share] { Run(device, share); });
      }
    }
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start a member's thread: ", error.what()));
  }
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &MemberPool::IsReady));
  return absl::OkStatus();
}

MemberPool::~MemberPool() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

size_t MemberPool::in_flight() const {
  absl::MutexLock lock(&mutex_);
  return slots_.size();
}

void MemberPool::Submit(Work work) {
  absl::MutexLock lock(&mutex_);
  Slot& slot = slots_.emplace_back();
  slot.results.index = work.index;
  slot.work = std::move(work);
  slot.left = members_.size();
  if (spare_.empty()) {
    slot.results.members.resize(members_.size());
  } else {
    slot.results.members = std::move(spare_.back());
    spare_.pop_back();
  }
  peak_in_flight_ = std::max(peak_in_flight_, slots_.size());
}

absl::StatusOr<const MemberPool::Results*> MemberPool::Oldest(
    absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const bool ready = mutex_.AwaitWithTimeout(
      absl::Condition(this, &MemberPool::OldestIsReadyOrFailed), timeout);
  if (!error_.ok()) return error_;
  return ready ? &slots_.front().results : nullptr;
}

void MemberPool::Release() {
  absl::MutexLock lock(&mutex_);
  spare_.push_back(std::move(slots_.front().results.members));
  slots_.pop_front();
  ++released_;
}

uint32_t MemberPool::passes(size_t member) const {
  return members_[member].model->has_dropout() ? options_.mc_samples : 1;
}

double MemberPool::forward_seconds(size_t member) const {
  absl::MutexLock lock(&mutex_);
  return states_[member].seconds;
}

size_t MemberPool::peak_in_flight() const {
  absl::MutexLock lock(&mutex_);
  return peak_in_flight_;
}

bool MemberPool::OldestIsReadyOrFailed() const {
  return !error_.ok() || slots_.front().left == 0;
}

int MemberPool::Claimable(size_t device) const {
  int best = -1;
  for (size_t m = 0; m < members_.size(); ++m) {
    const State& state = states_[m];
    if (members_[m].device != device || state.busy ||
        state.next >= released_ + slots_.size()) {
      continue;
    }
    if (best < 0 || state.next < states_[static_cast<size_t>(best)].next) {
      best = static_cast<int>(m);
    }
  }
  return best;
}

void MemberPool::Run(size_t device, int share) {
  const auto something_to_do = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ending_ || !error_.ok() || Claimable(device) >= 0;
  };
  absl::MutexLock lock(&mutex_);
  // What this thread's operations use. LibTorch keeps it per thread, but sets
  // up more with it: so nothing runs before all threads have done this.
  at::set_num_threads(share);
  ++ready_;
  while (true) {
    mutex_.Await(absl::Condition(&something_to_do));
    if (ending_ || !error_.ok()) return;
    const auto member = static_cast<size_t>(Claimable(device));
    State& state = states_[member];
    Slot& slot = slots_[state.next - released_];
    ++state.next;
    state.busy = true;
    mutex_.Unlock();
    const SteadyClock::time_point begin = SteadyClock::now();
    absl::Status done = CatchTorch([&] {
      return Predict(member, slot.work, &slot.results.members[member]);
    });
    const std::chrono::duration<double> took = SteadyClock::now() - begin;
    mutex_.Lock();
    state.busy = false;
    state.seconds += took.count();
    if (--slot.left == 0) slot.work.images.clear();
    if (!done.ok() && error_.ok()) {
      error_ = WithContext(
          done, absl::StrCat("member \"", members_[member].name, "\""));
    }
  }
}

absl::Status MemberPool::Predict(size_t member, const Work& work,
                                 MemberBatch* to) {
  const c10::InferenceMode inference;
  const PooledMember& of = members_[member];
  const at::Tensor& images = work.images[of.feed];
  const uint32_t count = passes(member);
  at::Generator masks;
  if (count > 1) {
    masks = MaskGenerator(images, options_.seed, member, work.index);
  }
  to->Reset(work.samples, options_.classes);
  for (uint32_t pass = 0; pass < count; ++pass) {
    const at::Tensor raw = count > 1
                               ? of.model->LogitsWithDropout(images, masks)
                               : of.model->Logits(images);
    if (raw.dim() != 2 || raw.size(0) != work.samples ||
        raw.size(1) != options_.classes) {
      return absl::FailedPreconditionError(absl::StrCat(
          "it gave a tensor [", absl::StrJoin(raw.sizes(), ", "),
          "] for the batch of sample ", work.first, "; it must be [",
          work.samples, ", ", options_.classes, "]"));
    }
    const at::Tensor logits = raw.to(at::kCPU, at::kFloat).contiguous();
    const std::optional<int64_t> wrong = to->AddPass(absl::MakeConstSpan(
        logits.data_ptr<float>(), static_cast<size_t>(logits.numel())));
    if (wrong.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("it gives NaN or infinite logits for sample ",
                       work.first + static_cast<uint64_t>(*wrong)));
    }
  }
  to->Finish();
  return absl::OkStatus();
}

}  // namespace trainyard::runner
