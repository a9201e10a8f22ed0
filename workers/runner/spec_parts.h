// Parts of the spec that training and ensembles have in common.
//
//   RETURN_IF_ERROR(in.Object("model", [&](Section& s) {
//     return ParseModel(s, &options.model);
//   }));
#pragma once

#include <string>

#include "absl/status/status.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/model_options.h"
#include "workers/runner/spec_section.h"

namespace trainyard::runner {

// The member `name` of `in`, an object with a `path`; by the time a runner sees
// it, a source is always a path. "" where it is absent.
absl::Status ParseSource(Section& in, const std::string& name,
                         std::string* path);

// ModelSpec. The architecture must be there; its name is not checked.
absl::Status ParseModel(Section& in, ModelOptions* model);

// DataSpec. The format and the folder must be there.
absl::Status ParseData(Section& in, data::DataOptions* data, bool* augment);

}  // namespace trainyard::runner
