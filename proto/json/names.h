// Names of fields and enum values as people write them, and the nearest name to
// a mistyped one.
//
//   ShortEnumName(*descriptor->FindValueByName("FORMAT_IDX"))   // "idx"
//   NearestName("lerning_rate", {"learning_rate", "momentum"})  //
//   "learning_rate"
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace trainyard {

// The name without its enum's prefix, in lower case.
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor& value);

// Short names of all values but the unspecified one (number 0).
std::vector<std::string> ShortEnumNames(
    const google::protobuf::EnumDescriptor& type);

// The value with that short name, the unspecified one excepted; nullptr: none.
const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, absl::string_view short_name);

// The candidate fewest edits (insert, delete, replace, swap neighbours) away,
// if that is at most a third of the text; else empty. Case counts for nothing.
std::string NearestName(absl::string_view text,
                        const std::vector<std::string>& candidates);

}  // namespace trainyard
