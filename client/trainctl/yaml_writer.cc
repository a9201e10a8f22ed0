#include "client/trainctl/yaml_writer.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace trainyard::trainctl {
namespace {

// Safe without quotes: begins with a letter, then letters, digits and a few
// signs that mean nothing in YAML, and is none of its words.
bool IsPlain(const std::string& text) {
  if (text.empty() ||
      !absl::ascii_isalpha(static_cast<unsigned char>(text[0]))) {
    return false;
  }
  for (const char c : text) {
    const bool letter = absl::ascii_isalnum(static_cast<unsigned char>(c));
    if (!letter &&
        absl::string_view("_-./ ").find(c) == absl::string_view::npos) {
      return false;
    }
  }
  const std::string lower = absl::AsciiStrToLower(text);
  for (const char* word :
       {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}) {
    if (lower == word) return false;
  }
  double number = 0;  // "inf", "nan"
  return !absl::SimpleAtod(text, &number) && text.back() != ' ';
}

std::string Scalar(const Json& json) {
  if (json.is_object()) return "{}";
  if (json.is_array()) return "[]";
  if (json.is_string() && IsPlain(json.get_ref<const std::string&>())) {
    return json.get<std::string>();
  }
  // A JSON string is a YAML string.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsBlock(const Json& json) { return json.is_structured() && !json.empty(); }

void Write(const Json& json, size_t indent, std::string* out) {
  const std::string margin(indent, ' ');
  if (json.is_object()) {
    bool first = true;
    for (const auto& [key, value] : json.items()) {
      // The first member of a list's item follows its "- ".
      absl::StrAppend(out, first ? "" : margin, Scalar(Json(key)), ":");
      first = false;
      if (IsBlock(value)) {
        absl::StrAppend(out, "\n", margin, "  ");
        Write(value, indent + 2, out);
      } else {
        absl::StrAppend(out, " ", Scalar(value), "\n");
      }
    }
    return;
  }
  bool first = true;
  for (const Json& value : json) {
    absl::StrAppend(out, first ? "" : margin, "- ");
    first = false;
    if (IsBlock(value)) {
      Write(value, indent + 2, out);
    } else {
      absl::StrAppend(out, Scalar(value), "\n");
    }
  }
}

}  // namespace

std::string WriteYaml(const Json& json) {
  if (!IsBlock(json)) return Scalar(json) + "\n";
  std::string out;
  Write(json, 0, &out);
  return out;
}

}  // namespace trainyard::trainctl
