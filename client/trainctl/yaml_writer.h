// JSON values as YAML that reads back as the same values.
#pragma once

#include <string>

#include "proto/json/job_json.h"

namespace trainyard::trainctl {

// Block style, with a newline at the end. Texts that YAML could take for a
// number, true, null or syntax are quoted.
std::string WriteYaml(const Json& json);

}  // namespace trainyard::trainctl
