// Which revision of the cluster each message of a Synchronize stream showed, so
// that the worker's "I acted on message 7" can be told to the core.
//
//   const uint64_t sequence = sent.Add(desired.revision);
//   report.applied_revision = sent.Applied(request.applied_sequence());
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "server/core/types.h"

namespace trainyard::rpc {

class SentSequences {
 public:
  // The sequence of the next message, from 1.
  uint64_t Add(core::Revision revision) {
    revisions_.push_back(revision);
    if (revisions_.size() > kMaxKept) Drop();
    return first_ + revisions_.size() - 1;
  }

  // 0: none. A sequence that was never sent counts as the one acted on before.
  core::Revision Applied(uint64_t sequence) {
    while (!revisions_.empty() && first_ <= sequence &&
           sequence < first_ + revisions_.size()) {
      Drop();
    }
    return applied_;
  }

 private:
  // A worker that acts on nothing for so many messages loses the oldest of
  // them: it seems to have acted on less than it did, which is safe.
  static constexpr size_t kMaxKept = 4096;

  void Drop() {
    ++first_;
    // Dropped for want of space, it was not acted on.
    if (revisions_.size() <= kMaxKept) applied_ = revisions_.front();
    revisions_.pop_front();
  }

  std::deque<core::Revision> revisions_;  // of messages not acted on yet
  uint64_t first_ = 1;                    // sequence of the first of them
  core::Revision applied_ = 0;
};

}  // namespace trainyard::rpc
