// CIFAR-10 and CIFAR-100 in their binary version
// (cs.toronto.edu/~kriz/cifar.html): records of a label (CIFAR-100: coarse,
// fine) and 3 x 32 x 32 bytes.
//
//   ASSIGN_OR_RETURN(RawParts parts, OpenCifar("/data/cifar-10-batches-bin",
//   CifarKind::k10));
//
// Stateless; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "workers/runner/data/memory_dataset.h"

namespace trainyard::data {

enum class CifarKind { k10, k100 };

// CIFAR-10: all data_batch_*.bin and, where it is there, test_batch.bin; class
// names from batches.meta.txt. CIFAR-100, fine labels: train.bin, test.bin,
// fine_label_names.txt. Without the file of names, classes are called "0", "1",
// ...
absl::StatusOr<RawParts> OpenCifar(const std::string& folder, CifarKind kind);

}  // namespace trainyard::data
