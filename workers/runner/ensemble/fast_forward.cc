#include "workers/runner/ensemble/fast_forward.h"

#include <ATen/ATen.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>

#include "absl/base/const_init.h"
#include "absl/synchronization/mutex.h"

namespace trainyard::runner {
namespace {

// How many samples of the first batch are compared: fewer of large ones, whose
// values LibTorch keeps one by one.
constexpr int64_t kFewestCompared = 2;
constexpr int64_t kMostCompared = 8;
constexpr int64_t kComparedFloats = int64_t{1} << 18;

constexpr double kTolerance = 1e-5;

bool SameProbabilities(const at::Tensor& one, const at::Tensor& other) {
  return at::allclose(at::softmax(one, 1), at::softmax(other, 1), 0,
                      kTolerance);
}

// What was held only to prepare a model.
void GiveMemoryBack() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace

at::Tensor FastForward::Run(const at::Tensor& batch) {
  if (network_ && batch.size(0) > 0) return Decide(batch);
  return plan_ != nullptr ? plan_->Run(batch) : plain_(batch);
}

at::Tensor FastForward::Decide(const at::Tensor& batch) {
  const int64_t samples = batch.size(0);
  const int64_t compared =
      std::min(samples, std::clamp(kComparedFloats * samples / batch.numel(),
                                   kFewestCompared, kMostCompared));
  at::Tensor right;
  if (batch.is_cpu() && OnednnPlan::Built()) {
    static absl::Mutex one_at_a_time(absl::kConstInit);
    absl::MutexLock lock(&one_at_a_time);
    const at::NoGradGuard no_grad;
    if (std::optional<Network> network = network_()) {
      right = plain_(batch.narrow(0, 0, compared));
      GiveMemoryBack();
      plan_ = OnednnPlan::Build(*network, shape_, samples, packed_);
    }
    GiveMemoryBack();
  }
  packed_ = nullptr;
  network_ = nullptr;
  if (plan_ == nullptr) return plain_(batch);
  const at::Tensor logits = plan_->Run(batch);
  if (!SameProbabilities(logits.narrow(0, 0, compared), right)) {
    plan_ = nullptr;
    return plain_(batch);
  }
  plain_ = nullptr;
  GiveMemoryBack();
  return logits;
}

}  // namespace trainyard::runner
