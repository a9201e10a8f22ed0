#include "workers/runner/spec_section.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "workers/runner/data/file.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr double kLargestExactDouble = 9007199254740992.0;  // 2^53
constexpr size_t kLongestShown = 80;

std::optional<uint64_t> AsWhole(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer()) {
    const int64_t number = value.get<int64_t>();
    if (number >= 0) return static_cast<uint64_t>(number);
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number <= kLargestExactDouble &&
        number == std::floor(number)) {
      return static_cast<uint64_t>(number);
    }
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const bool digits = !text.empty() && text.size() <= 20 &&
                        std::all_of(text.begin(), text.end(), [](char c) {
                          return c >= '0' && c <= '9';
                        });
    uint64_t number = 0;
    if (digits && absl::SimpleAtoi(text, &number)) return number;
  }
  return std::nullopt;
}

}  // namespace

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongestShown) {
    text.resize(kLongestShown - 3);
    text += "...";
  }
  return data::CleanUtf8(text);
}

absl::Status WrongValue(absl::string_view path, const Json& value,
                        absl::string_view right) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is ", Shown(value), "; it must be ", right));
}

std::string Section::PathOf(absl::string_view name) const {
  return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
}

const Json* Section::Find(const std::string& name) {
  if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
    known_.push_back(name);
  }
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

absl::Status Section::FindWhole(const std::string& name, uint64_t min,
                                uint64_t max, bool zero_is_default,
                                uint64_t* number, bool* found) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const std::optional<uint64_t> whole = AsWhole(*value);
  if (whole == uint64_t{0} && zero_is_default) return absl::OkStatus();
  if (!whole.has_value() || *whole < min || *whole > max) {
    return WrongValue(
        PathOf(name), *value,
        max == kAnyUint64 && min == 0
            ? "a whole number of at least 0"
            : absl::StrCat("a whole number from ", min, " to ", max));
  }
  *number = *whole;
  *found = true;
  return absl::OkStatus();
}

absl::Status Section::Boolean(const std::string& name, bool* to) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) {
    return WrongValue(PathOf(name), *value, "true or false");
  }
  *to = value->get<bool>();
  return absl::OkStatus();
}

absl::Status Section::Text(const std::string& name, std::string* to) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return WrongValue(PathOf(name), *value, "a string");
  *to = value->get<std::string>();
  return absl::OkStatus();
}

absl::Status Section::Path(const std::string& name, std::string* to) {
  std::string path;
  RETURN_IF_ERROR(Text(name, &path));
  if (path.empty()) return absl::OkStatus();
  if (path[0] != '/' || path.find('\0') != std::string::npos) {
    return WrongValue(PathOf(name), Json(path), "an absolute path");
  }
  *to = std::move(path);
  return absl::OkStatus();
}

absl::Status Section::RefuseUnknown() const {
  for (const auto& item : object_.items()) {
    if (std::find(known_.begin(), known_.end(), item.key()) == known_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          PathOf(data::CleanUtf8(item.key().substr(0, kLongestShown))),
          " is not a field this runner knows", Suggestion(item.key(), known_)));
    }
  }
  return absl::OkStatus();
}

}  // namespace trainyard::runner
