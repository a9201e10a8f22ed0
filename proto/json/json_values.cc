#include "proto/json/json_values.h"

#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/json/names.h"
#include "proto/json/utf8.h"

namespace trainyard::json {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

constexpr size_t kLongestQuote = 80;

// The value as an error message shows it.
std::string Quote(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "a list";
  if (json.is_number_float() && !std::isfinite(json.get<double>())) {
    return std::isnan(json.get<double>()) ? "NaN" : "infinity";
  }
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongestQuote) text = text.substr(0, kLongestQuote) + "…";
  return text;
}

}  // namespace

absl::Status Bad(const std::string& path, const std::string& problem) {
  return absl::InvalidArgumentError(
      path.empty() ? problem : absl::StrCat(path, ": ", problem));
}

absl::Status WrongValue(const std::string& path, const Json& json,
                        const std::string& right) {
  if (json.is_null()) {
    return Bad(path, absl::StrCat("no value: must be ", right,
                                  ", or leave the field out"));
  }
  return Bad(path, absl::StrCat(Quote(json), ": must be ", right));
}

namespace {

// What a field allows is narrower than its type: no range is told that would be
// wrong for it.
template <typename T>
std::string RightInteger(const Json& json) {
  using Limits = std::numeric_limits<T>;
  const double value = json.is_number() ? json.get<double>() : 0;
  if (value < 0 && Limits::lowest() == 0) return "a whole number, not negative";
  if (value < static_cast<double>(Limits::lowest())) {
    return absl::StrCat("a whole number, at least ", Limits::lowest());
  }
  if (value > static_cast<double>(Limits::max())) {
    return absl::StrCat("a whole number, at most ", Limits::max());
  }
  return "a whole number";
}

}  // namespace

template <typename T>
absl::StatusOr<T> ReadInteger(const std::string& path, const Json& json) {
  using Limits = std::numeric_limits<T>;
  if (json.is_number_unsigned()) {
    const uint64_t value = json.get<uint64_t>();
    if (value <= static_cast<uint64_t>(Limits::max())) {
      return static_cast<T>(value);
    }
  } else if (json.is_number_integer()) {
    const int64_t value = json.get<int64_t>();
    const bool fits = value >= 0
                          ? static_cast<uint64_t>(value) <=
                                static_cast<uint64_t>(Limits::max())
                          : value >= static_cast<int64_t>(Limits::lowest());
    if (fits) return static_cast<T>(value);
  } else if (json.is_number_float()) {
    const double value = json.get<double>();
    constexpr double kExact = 9007199254740992.0;  // 2^53
    if (std::floor(value) == value && std::fabs(value) <= kExact) {
      return ReadInteger<T>(path, Json(static_cast<int64_t>(value)));
    }
  }
  return WrongValue(path, json, RightInteger<T>(json));
}

template absl::StatusOr<int32_t> ReadInteger(const std::string&, const Json&);
template absl::StatusOr<int64_t> ReadInteger(const std::string&, const Json&);
template absl::StatusOr<uint32_t> ReadInteger(const std::string&, const Json&);
template absl::StatusOr<uint64_t> ReadInteger(const std::string&, const Json&);

absl::StatusOr<double> ReadDouble(const std::string& path, const Json& json) {
  if (!json.is_number() || !std::isfinite(json.get<double>())) {
    return WrongValue(path, json, "a finite number");
  }
  return json.get<double>();
}

absl::StatusOr<float> ReadFloat(const std::string& path, const Json& json) {
  ASSIGN_OR_RETURN(const double value, ReadDouble(path, json));
  if (std::fabs(value) > std::numeric_limits<float>::max()) {
    return WrongValue(path, json, "a number that fits 32 bits");
  }
  return static_cast<float>(value);
}

absl::StatusOr<bool> ReadBool(const std::string& path, const Json& json) {
  if (!json.is_boolean()) return WrongValue(path, json, "true or false");
  return json.get<bool>();
}

absl::StatusOr<std::string> ReadText(const std::string& path, const Json& json,
                                     const FieldDescriptor& field) {
  if (!json.is_string()) {
    const bool scalar = json.is_number() || json.is_boolean();
    return WrongValue(path, json,
                      scalar ? absl::StrCat("text; write \"", Quote(json), "\"")
                             : std::string("text"));
  }
  std::string text = json.get<std::string>();
  if (field.type() == FieldDescriptor::TYPE_BYTES) {
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes)) {
      return WrongValue(path, json, "base64");
    }
    return bytes;
  }
  if (!IsUtf8(text)) return WrongValue(path, json, "valid UTF-8");
  return text;
}

absl::StatusOr<int> ReadEnum(const std::string& path, const Json& json,
                             const FieldDescriptor& field) {
  const std::vector<std::string> names = ShortEnumNames(*field.enum_type());
  const std::string right = absl::StrCat("one of ", absl::StrJoin(names, ", "));
  if (!json.is_string()) return WrongValue(path, json, right);
  const std::string text = json.get<std::string>();
  if (const auto* value = FindEnumValue(*field.enum_type(), text)) {
    return value->number();
  }
  const std::string nearest = NearestName(text, names);
  return WrongValue(path, json,
                    nearest.empty() ? right
                                    : absl::StrCat(right, "; did you mean \"",
                                                   nearest, "\"?"));
}

absl::StatusOr<uint64_t> ReadSize(const std::string& path, const Json& json) {
  const absl::StatusOr<uint64_t> bytes = ParseBytes(json.get<std::string>());
  if (!bytes.ok()) return WithContext(bytes.status(), path);
  return *bytes;
}

absl::Status ReadDuration(const std::string& path, const Json& json,
                          Message* message) {
  const std::string right =
      "a time such as \"90s\", \"5m\" or \"1h30m\", or a number of seconds, "
      "not negative";
  absl::Duration duration = absl::InfiniteDuration();
  if (json.is_number()) {
    duration = absl::Seconds(json.get<double>());
    if (std::isnan(json.get<double>())) return WrongValue(path, json, right);
  } else if (!json.is_string() ||
             !absl::ParseDuration(json.get<std::string>(), &duration)) {
    return WrongValue(path, json, right);
  }
  constexpr int64_t kLongest = 315576000000;  // duration.proto: 10,000 years
  if (duration < absl::ZeroDuration() || duration > absl::Seconds(kLongest)) {
    return WrongValue(path, json, right);
  }
  google::protobuf::Duration proto;
  absl::Duration rest;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  message->CopyFrom(proto);
  return absl::OkStatus();
}

absl::Status ReadTimestamp(const std::string& path, const Json& json,
                           Message* message) {
  absl::Time time;
  std::string error;
  if (!json.is_string() ||
      !absl::ParseTime(absl::RFC3339_full, json.get<std::string>(), &time,
                       &error)) {
    return WrongValue(path, json, "a time such as \"2024-05-01T12:00:00Z\"");
  }
  constexpr int64_t kFirst = -62135596800,
                    kLast = 253402300799;  // years 1 to 9999
  const int64_t seconds = absl::ToUnixSeconds(time);
  if (seconds < kFirst || seconds > kLast) {
    return WrongValue(path, json, "a time in the years 1 to 9999");
  }
  google::protobuf::Timestamp proto;
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  message->CopyFrom(proto);
  return absl::OkStatus();
}

}  // namespace trainyard::json
