// MNIST's IDX files (yann.lecun.com/exdb/mnist): big-endian magic 0x00000803
// and three extents for images, 0x00000801 and one for labels; plain or .gz.
//
//   ASSIGN_OR_RETURN(RawParts parts, OpenIdx("/data/mnist"));
//
// Stateless; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "workers/runner/data/memory_dataset.h"

namespace trainyard::data {

// Reads train-{images-idx3,labels-idx1}-ubyte[.gz] and, where they are there,
// the t10k- files. The plain file is taken where both are. Classes are 0 to the
// largest training label; the test part must keep to them. Sizes are checked
// before memory is taken; a .gz is inflated no further than its header says.
// kOptional: either part may come without its labels, and t10k- files may be
// alone; they are the train part then, and classes go by their own labels.
absl::StatusOr<RawParts> OpenIdx(const std::string& folder,
                                 Labels labels = Labels::kRequired);

}  // namespace trainyard::data
