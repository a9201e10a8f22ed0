// The records of a decision in the making: numbers them after the cluster's.
#pragma once

#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::core {

class Draft {
 public:
  // After the revision `last`, all at `now`.
  Draft(Revision last, absl::Time now) : revision_(last), now_(now) {}

  void Add(JobId job, Change change) {
    Record record{.revision = revision_,
                  .time = now_,
                  .job = job,
                  .change = std::move(change)};
    if (IsDurable(record)) record.revision = ++revision_;
    records_.push_back(std::move(record));
  }
  void Add(Change change) { Add(JobId(), std::move(change)); }

  absl::Time now() const { return now_; }
  // Of the newest durable record.
  Revision revision() const { return revision_; }
  std::vector<Record> Take() { return std::move(records_); }

 private:
  Revision revision_;
  absl::Time now_;
  std::vector<Record> records_;
};

}  // namespace trainyard::core
