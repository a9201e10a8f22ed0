// Which device each member runs on, and how a CPU's threads are shared out.
//
//   PlaceMembers({90, 45, 45}, 2)  // {0, 1, 1}
//   ShareThreads(8, 3)             // {3, 3, 2}: three members at once
//
// Stateless; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace trainyard::runner {

// The device (below `devices`, at least 1) of each member: from the largest
// model to the smallest, each goes to the device that has the least so far, the
// first of equals. Models of the same size are dealt out in turn.
std::vector<size_t> PlaceMembers(absl::Span<const uint64_t> sizes,
                                 size_t devices);

// The intra-op threads of each of the members that run at once. As many run at
// once as there are threads: members side by side need not wait for each other,
// the threads of one operation do. At least one, of at least one thread.
std::vector<int> ShareThreads(int threads, size_t members);

}  // namespace trainyard::runner
