// Reading one object of the spec, member by member, with errors that name the
// member's place, its value and what would be right.
//
//   Section in("training", json);
//   RETURN_IF_ERROR(in.Whole("epochs", 1, 1'000'000, true, &epochs));
//   return in.RefuseUnknown();
//
// Readers leave *to alone where the member is absent or null.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/nearest.h"

namespace trainyard::runner {

inline constexpr uint64_t kAnyUint64 = ~uint64_t{0};

// The names of an enum's values.
template <typename Enum>
using EnumNames = std::vector<std::pair<std::string, Enum>>;

template <typename Enum>
std::string NameIn(const EnumNames<Enum>& names, Enum value) {
  for (const auto& [name, one] : names) {
    if (one == value) return name;
  }
  return "";
}

// INVALID_ARGUMENT: "PATH is VALUE; it must be RIGHT", a long value cut short.
absl::Status WrongValue(absl::string_view path, const nlohmann::json& value,
                        absl::string_view right);
// The value's JSON, cut short.
std::string Shown(const nlohmann::json& value);

// Borrows `object`. Not thread-safe.
class Section {
 public:
  Section(std::string path, const nlohmann::json& object)
      : path_(std::move(path)), object_(object) {}

  std::string PathOf(absl::string_view name) const;
  // Null where the member is absent or null.
  const nlohmann::json* Find(const std::string& name);

  // A whole number; also as decimal text, which is how Protobuf's JSON writes
  // 64-bit ones. 0 leaves *to alone where `zero_is_default`.
  template <typename T>
  absl::Status Whole(const std::string& name, uint64_t min, uint64_t max,
                     bool zero_is_default, T* to) {
    uint64_t number = 0;
    bool found = false;
    RETURN_IF_ERROR(
        FindWhole(name, min, max, zero_is_default, &number, &found));
    if (found) *to = static_cast<T>(number);
    return absl::OkStatus();
  }

  // A finite number for which `right` holds; `range` says it in words.
  template <typename Predicate>
  absl::Status Real(const std::string& name, Predicate right,
                    absl::string_view range, double* to) {
    const nlohmann::json* value = Find(name);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number() || !std::isfinite(value->get<double>()) ||
        !right(value->get<double>())) {
      return WrongValue(PathOf(name), *value, absl::StrCat("a number ", range));
    }
    *to = value->get<double>();
    return absl::OkStatus();
  }

  absl::Status Boolean(const std::string& name, bool* to);
  absl::Status Text(const std::string& name, std::string* to);
  // An absolute path without NUL characters, or "".
  absl::Status Path(const std::string& name, std::string* to);

  // One of an enum's names; "" leaves *to alone.
  template <typename Enum>
  absl::Status OneOf(const std::string& name, const EnumNames<Enum>& all,
                     Enum* to) {
    std::string text;
    RETURN_IF_ERROR(Text(name, &text));
    if (text.empty()) return absl::OkStatus();
    std::vector<std::string> names;
    for (const auto& [one, value] : all) {
      if (text == one) {
        *to = value;
        return absl::OkStatus();
      }
      names.push_back(one);
    }
    return absl::InvalidArgumentError(absl::StrCat(
        PathOf(name), " is ", Shown(nlohmann::json(text)),
        ", which this runner does not know", Suggestion(text, names)));
  }

  // A nested object, read by parse(Section&); absent is as an empty one.
  template <typename Parse>
  absl::Status Object(const std::string& name, Parse parse) {
    static const nlohmann::json kEmpty = nlohmann::json::object();
    const nlohmann::json* value = Find(name);
    if (value == nullptr) value = &kEmpty;
    if (!value->is_object()) {
      return WrongValue(PathOf(name), *value, "an object");
    }
    Section section(PathOf(name), *value);
    return parse(section);
  }

  // Call when every member was read: refuses the others.
  absl::Status RefuseUnknown() const;

 private:
  absl::Status FindWhole(const std::string& name, uint64_t min, uint64_t max,
                         bool zero_is_default, uint64_t* number, bool* found);

  const std::string path_;
  const nlohmann::json& object_;
  std::vector<std::string> known_;  // the members asked for so far
};

}  // namespace trainyard::runner
