// What a build without oneDNN links instead of onednn_plan.cc.
#include "workers/runner/ensemble/onednn_plan.h"

namespace trainyard::runner {

bool OnednnPlan::Built() { return false; }

std::unique_ptr<OnednnPlan> OnednnPlan::Build(const Network&,
                                              const data::SampleShape&, int64_t,
                                              const Packed&) {
  return nullptr;
}

}  // namespace trainyard::runner
