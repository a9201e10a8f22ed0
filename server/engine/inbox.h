// The engine's bounded inbox: commands and reads in the order they came.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/command.h"

namespace trainyard::engine {

struct Inquiry {
  absl::AnyInvocable<void(const core::Cluster&)> read;
};

struct Request {
  core::Command command;
  absl::AnyInvocable<void(const core::Reply&)> done;
};

class Inbox {
 public:
  using Item = std::variant<Request, Inquiry>;

  Inbox(size_t limit, size_t limit_bytes)
      : limit_(limit), limit_bytes_(limit_bytes) {}

  // OK; otherwise the item is left alone: RESOURCE_EXHAUSTED when full,
  // UNAVAILABLE when closed.
  absl::Status Push(Item& item);
  // Waits for an item, Wake() or Close(), at most `timeout`; takes items until
  // they weigh `batch` (a command: 1, or its submissions), at least one.
  std::vector<Item> Take(size_t batch, absl::Duration timeout);
  // Makes Take() return.
  void Wake();
  // An inbox starts closed: nothing is taken in.
  void Open();
  void Close();
  bool closed() const;
  size_t size() const;

 private:
  const size_t limit_;
  const size_t limit_bytes_;
  mutable absl::Mutex mutex_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = true;
  bool awake_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace trainyard::engine
