// Which samples are trained on and which are held out: seeded, in proportion to
// the classes, the same on every platform.
//
//   std::vector<uint32_t> held = PickStratified(labels, 10, 6000, seed);
//   auto part = std::make_unique<SubsetDataset>(whole, Complement(60000,
//   held));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "workers/runner/data/dataset.h"

namespace trainyard::data {

// `count` indices (all, when there are fewer) in rising order, each class's
// share by largest remainder. leave_one: of every class at least one sample is
// not picked, even if fewer than `count` are picked then.
std::vector<uint32_t> PickStratified(absl::Span<const int32_t> labels,
                                     int num_classes, uint64_t count,
                                     uint64_t seed, bool leave_one = false);

// The indices below num_samples that are not in `picked`, which is in rising
// order.
std::vector<uint32_t> Complement(uint32_t num_samples,
                                 absl::Span<const uint32_t> picked);

// How many of num_samples a share of `fraction` is: rounded, at least 1.
uint64_t ShareOf(uint32_t num_samples, double fraction);

// Some samples of another dataset. Thread-safe as that one is.
class SubsetDataset : public Dataset {
 public:
  // Every index is below whole->num_samples(). Several parts share one whole.
  SubsetDataset(std::shared_ptr<const Dataset> whole,
                std::vector<uint32_t> indices);

  uint32_t num_samples() const override {
    return static_cast<uint32_t>(indices_.size());
  }
  SampleShape sample_shape() const override { return whole_->sample_shape(); }
  const std::vector<std::string>& class_names() const override {
    return whole_->class_names();
  }
  absl::Span<const int32_t> labels() const override { return labels_; }
  bool in_memory() const override { return whole_->in_memory(); }
  absl::Status Read(absl::Span<const uint32_t> indices, uint8_t* pixels,
                    int64_t* labels) const override;
  std::string sample_name(uint32_t index) const override {
    return whole_->sample_name(indices_[index]);
  }

 private:
  const std::shared_ptr<const Dataset> whole_;
  const std::vector<uint32_t> indices_;
  std::vector<int32_t> labels_;
};

}  // namespace trainyard::data
