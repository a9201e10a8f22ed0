// Whether text from outside may go into protos and JSON, which hold UTF-8 only.
#pragma once

#include "absl/strings/string_view.h"

namespace trainyard {

// As RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(absl::string_view text);

}  // namespace trainyard
