#include "workers/runner/ensemble/placement.h"

#include <algorithm>
#include <numeric>

namespace trainyard::runner {

std::vector<size_t> PlaceMembers(absl::Span<const uint64_t> sizes,
                                 size_t devices) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<uint64_t> loads(devices, 0);
  std::vector<size_t> placed(sizes.size());
  for (const size_t member : order) {
    const auto least = std::min_element(loads.begin(), loads.end());
    placed[member] = static_cast<size_t>(least - loads.begin());
    *least += std::max<uint64_t>(1, sizes[member]);
  }
  return placed;
}

std::vector<int> ShareThreads(int threads, size_t members) {
  const int all = std::max(1, threads);
  const int at_once = static_cast<int>(
      std::clamp<size_t>(members, 1, static_cast<size_t>(all)));
  std::vector<int> shares(static_cast<size_t>(at_once), all / at_once);
  for (int i = 0; i < all % at_once; ++i) ++shares[static_cast<size_t>(i)];
  return shares;
}

}  // namespace trainyard::runner
