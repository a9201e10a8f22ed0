// A dataset whose pixels are all in memory: what IDX and CIFAR files become.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "workers/runner/data/dataset.h"

namespace trainyard::data {

// Uninitialised bytes, or RESOURCE_EXHAUSTED naming what they were for.
absl::StatusOr<std::unique_ptr<uint8_t[]>> AllocateBytes(
    uint64_t size, const std::string& purpose);

// Thread-safe; immutable.
class MemoryDataset : public Dataset {
 public:
  // pixels holds labels.size() samples of `shape`, one after the other; every
  // label is below class_names.size(), or all are kNoLabel and there are no
  // names.
  MemoryDataset(SampleShape shape, std::unique_ptr<uint8_t[]> pixels,
                std::vector<int32_t> labels,
                std::vector<std::string> class_names);

  uint32_t num_samples() const override {
    return static_cast<uint32_t>(labels_.size());
  }
  SampleShape sample_shape() const override { return shape_; }
  const std::vector<std::string>& class_names() const override {
    return class_names_;
  }
  absl::Span<const int32_t> labels() const override { return labels_; }
  bool in_memory() const override { return true; }
  absl::Status Read(absl::Span<const uint32_t> indices, uint8_t* pixels,
                    int64_t* labels) const override;

 private:
  const SampleShape shape_;
  const std::unique_ptr<uint8_t[]> pixels_;
  const std::vector<int32_t> labels_;
  const std::vector<std::string> class_names_;
};

// Whether samples without labels are refused (training) or taken (prediction).
enum class Labels { kRequired, kOptional };

// The parts a format's files give, before any splitting. test may be null.
struct RawParts {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;
};

}  // namespace trainyard::data
