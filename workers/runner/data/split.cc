#include "workers/runner/data/split.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "workers/runner/data/prng.h"

namespace trainyard::data {
namespace {

// Keeps the draws for classes apart from those for epochs with the same seed.
constexpr uint64_t kClassPurpose = uint64_t{1} << 40;

// How many of each class make `count` of all, by largest remainder; equal
// remainders go to the lower label. count <= the sum of sizes. Whole numbers
// only: the same everywhere.
std::vector<uint64_t> Apportion(
    const std::vector<std::vector<uint32_t>>& classes, uint64_t total,
    uint64_t count) {
  std::vector<uint64_t> shares(classes.size());
  std::vector<size_t> by_remainder(classes.size());
  uint64_t given = 0;
  for (size_t c = 0; c < classes.size(); ++c) {
    shares[c] = classes[c].size() * count / total;
    given += shares[c];
    by_remainder[c] = c;
  }
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](size_t a, size_t b) {
                     return classes[a].size() * count % total >
                            classes[b].size() * count % total;
                   });
  for (size_t i = 0; given < count && i < by_remainder.size(); ++i, ++given) {
    ++shares[by_remainder[i]];
  }
  return shares;
}

}  // namespace

std::vector<uint32_t> PickStratified(absl::Span<const int32_t> labels,
                                     int num_classes, uint64_t count,
                                     uint64_t seed, bool leave_one) {
  std::vector<uint32_t> picked;
  if (labels.empty() || count == 0) return picked;
  std::vector<std::vector<uint32_t>> classes(static_cast<size_t>(num_classes));
  for (size_t i = 0; i < labels.size(); ++i) {
    classes[static_cast<size_t>(labels[i])].push_back(static_cast<uint32_t>(i));
  }
  const std::vector<uint64_t> shares = Apportion(
      classes, labels.size(), std::min<uint64_t>(count, labels.size()));
  for (size_t c = 0; c < classes.size(); ++c) {
    uint64_t share = shares[c];
    if (leave_one && share > 0)
      share = std::min<uint64_t>(share, classes[c].size() - 1);
    Prng prng(MixSeed(seed, kClassPurpose + c));
    Shuffle(absl::MakeSpan(classes[c]), prng);
    picked.insert(picked.end(), classes[c].begin(),
                  classes[c].begin() + static_cast<std::ptrdiff_t>(share));
  }
  std::sort(picked.begin(), picked.end());
  return picked;
}

std::vector<uint32_t> Complement(uint32_t num_samples,
                                 absl::Span<const uint32_t> picked) {
  std::vector<uint32_t> rest;
  rest.reserve(num_samples - picked.size());
  auto next = picked.begin();
  for (uint32_t i = 0; i < num_samples; ++i) {
    if (next != picked.end() && *next == i) {
      ++next;
    } else {
      rest.push_back(i);
    }
  }
  return rest;
}

uint64_t ShareOf(uint32_t num_samples, double fraction) {
  constexpr uint64_t kBillion = 1'000'000'000;
  const uint64_t parts =
      static_cast<uint64_t>(std::llround(fraction * double{kBillion}));
  return std::max<uint64_t>(1, (num_samples * parts + kBillion / 2) / kBillion);
}

SubsetDataset::SubsetDataset(std::shared_ptr<const Dataset> whole,
                             std::vector<uint32_t> indices)
    : whole_(std::move(whole)), indices_(std::move(indices)) {
  const absl::Span<const int32_t> labels = whole_->labels();
  labels_.reserve(indices_.size());
  for (uint32_t index : indices_) labels_.push_back(labels[index]);
}

absl::Status SubsetDataset::Read(absl::Span<const uint32_t> indices,
                                 uint8_t* pixels, int64_t* labels) const {
  std::vector<uint32_t> mapped;
  mapped.reserve(indices.size());
  for (uint32_t index : indices) mapped.push_back(indices_[index]);
  return whole_->Read(mapped, pixels, labels);
}

}  // namespace trainyard::data
