// "did you mean": the known name closest to a mistyped one.
//
//   NearestName("resnet81", {"mlp", "resnet18"})  // "resnet18"
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::runner {

// Empty where no name is within a third of the typed length (at least 2 edits).
std::string NearestName(absl::string_view typed,
                        const std::vector<std::string>& names);

// `; did you mean "resnet18"?` where a name is near, and then
// ` (known: mlp, resnet18)`.
std::string Suggestion(absl::string_view typed,
                       const std::vector<std::string>& names);

}  // namespace trainyard::runner
