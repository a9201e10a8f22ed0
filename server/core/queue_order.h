// The order in which waiting jobs are placed: higher priority first, then the
// older one. A job that goes back to the queue keeps its age.
#pragma once

#include <cstdint>

#include "server/core/types.h"

namespace trainyard::core {

struct QueueKey {
  int32_t priority = 0;
  JobId job;

  // a < b: a is placed before b.
  friend bool operator<(const QueueKey& a, const QueueKey& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    return a.job < b.job;
  }
  friend bool operator==(const QueueKey&, const QueueKey&) = default;
};

}  // namespace trainyard::core
