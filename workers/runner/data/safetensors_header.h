// The JSON header of a safetensors file, read strictly and without building a
// document: memory stays in proportion to the tensors it names.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/runner/data/safetensors.h"

namespace trainyard::data {

// A tensor as the header describes it; begin and end count from the first data
// byte.
struct TensorEntry {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry> tensors;
  MetadataMap metadata;
};

// INVALID_ARGUMENT names the tensor and the member. Entries have begin <= end
// and end - begin bytes are what dtype and shape ask for; their places in the
// file are not checked.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view json);

// Bytes of a tensor, false when that does not fit 63 bits or an extent is
// negative.
bool TensorBytes(DType dtype, const std::vector<int64_t>& shape,
                 uint64_t* bytes);

}  // namespace trainyard::data
