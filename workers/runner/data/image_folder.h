// A folder of images: one folder per class, JPEG and PNG files anywhere below
// it; or two such trees, train/ and val/; or, to be predicted, images without
// classes.
//
//   ASSIGN_OR_RETURN(RawParts parts, OpenImageFolder("/data/animals", 224));
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "workers/runner/data/memory_dataset.h"

namespace trainyard::data {

// Lists the files (.jpg, .jpeg, .png in any case; hidden ones are left out) and
// checks their places; the images are read and decoded in Read, to 3 x
// image_size x image_size: the shorter side scaled, the centre cropped. Classes
// are the folders' names. Samples come class by class; classes, files and
// folders sorted by the bytes of their names. Split layout: `folder`/train
// holds folders; then `folder`/val, where it is there, is the test part, its
// classes among train's. kOptional: `folder`, or `folder`/val, may hold images
// directly and no folders: samples without labels. INVALID_ARGUMENT: images
// beside class folders. PERMISSION_DENIED: a symbolic link that leads out of
// `folder`.
absl::StatusOr<RawParts> OpenImageFolder(const std::string& folder,
                                         int image_size,
                                         Labels labels = Labels::kRequired);

}  // namespace trainyard::data
