#include "client/trainctl/queue_walk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace trainyard::trainctl {
namespace {

bool Before(const v1::Job& a, const v1::Job& b) {
  if (a.spec().priority() != b.spec().priority()) {
    return a.spec().priority() > b.spec().priority();
  }
  return JobNumber(a) < JobNumber(b);
}

}  // namespace

uint64_t JobNumber(const v1::Job& job) {
  uint64_t number = 0;
  return absl::SimpleAtoi(absl::StripPrefix(job.name(), "jobs/"), &number)
             ? number
             : 0;
}

void QueueWalk::Restart() {
  page_token_.clear();
  part_ = QueueView();
}

void QueueWalk::Add(const v1::ListJobsResponse& page) {
  part_.count += static_cast<uint64_t>(page.jobs_size());
  part_.next.insert(part_.next.end(), page.jobs().begin(), page.jobs().end());
  std::stable_sort(part_.next.begin(), part_.next.end(), Before);
  if (part_.next.size() > keep_) part_.next.resize(keep_);
  page_token_ = page.next_page_token();
  if (!page_token_.empty()) return;
  part_.complete = true;
  walked_ = true;
  whole_ = std::move(part_);
  part_ = QueueView();
}

}  // namespace trainyard::trainctl
