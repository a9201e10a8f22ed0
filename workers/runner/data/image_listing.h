// Which images a folder holds and what class each is of; nothing is read yet.
//
//   ASSIGN_OR_RETURN(ImageListings listed,
//                    ListImages("/data/animals", Labels::kRequired));
//
// The layouts and the errors are those of OpenImageFolder. Stateless;
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/runner/data/memory_dataset.h"

namespace trainyard::data {

// Samples of one part, before and while they are listed.
struct ImageListing {
  std::vector<std::string> files;  // relative to the root
  std::vector<int32_t> labels;
  std::vector<std::string> class_names;  // as the folders are called
};

struct ImageListings {
  std::string root;  // without symbolic links
  ImageListing train;
  std::optional<ImageListing> test;
};

absl::StatusOr<ImageListings> ListImages(const std::string& folder,
                                         Labels labels);

}  // namespace trainyard::data
