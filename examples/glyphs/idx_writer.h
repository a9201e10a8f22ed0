// MNIST's file format, IDX: a big-endian header (two zero bytes, type 8 for
// unsigned bytes, number of dimensions, then each dimension as uint32) and the
// values (yann.lecun.com/exdb/mnist).
//
//   RETURN_IF_ERROR(WriteIdx("train-labels-idx1-ubyte", {count}, labels,
//   false));
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace trainyard::glyphs {

// Writes path (plain) or path + ".gz" through a temporary file beside it, so
// that a file with the final name is always whole; the other form of the same
// file is removed, since readers would not know which one to trust. The
// product of dimensions is the number of values.
absl::Status WriteIdx(const std::string& path,
                      const std::vector<uint32_t>& dimensions,
                      const std::vector<uint8_t>& values, bool gzip);

}  // namespace trainyard::glyphs
