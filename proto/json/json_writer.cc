#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/json/job_json.h"
#include "proto/json/names.h"

namespace trainyard {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Json NumberOrNull(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json EnumToJson(const EnumDescriptor& type, int number) {
  const auto* value = type.FindValueByNumber(number);
  return value == nullptr ? Json(number) : Json(ShortEnumName(*value));
}

Json TextToJson(const FieldDescriptor& field, const std::string& text) {
  return field.type() == FieldDescriptor::TYPE_BYTES
             ? Json(std::string(absl::Base64Escape(text)))
             : Json(text);
}

// The value of a field that is not repeated.
Json ValueToJson(const Message& message, const FieldDescriptor& field) {
  const Reflection& get = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return get.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return get.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return get.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return get.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberOrNull(get.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return NumberOrNull(get.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return get.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumToJson(*field.enum_type(), get.GetEnumValue(message, &field));
    case FieldDescriptor::CPPTYPE_STRING:
      return TextToJson(field, get.GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(get.GetMessage(message, &field));
  }
  return nullptr;
}

// One element of a repeated field.
Json ElementToJson(const Message& message, const FieldDescriptor& field,
                   int i) {
  const Reflection& get = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return get.GetRepeatedInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_INT64:
      return get.GetRepeatedInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT32:
      return get.GetRepeatedUInt32(message, &field, i);
    case FieldDescriptor::CPPTYPE_UINT64:
      return get.GetRepeatedUInt64(message, &field, i);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberOrNull(get.GetRepeatedDouble(message, &field, i));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return NumberOrNull(get.GetRepeatedFloat(message, &field, i));
    case FieldDescriptor::CPPTYPE_BOOL:
      return get.GetRepeatedBool(message, &field, i);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumToJson(*field.enum_type(),
                        get.GetRepeatedEnumValue(message, &field, i));
    case FieldDescriptor::CPPTYPE_STRING:
      return TextToJson(field, get.GetRepeatedString(message, &field, i));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(get.GetRepeatedMessage(message, &field, i));
  }
  return nullptr;
}

// Sorted by key, so that the same map gives the same text.
Json MapToJson(const Message& message, const FieldDescriptor& field) {
  const Reflection& get = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->FindFieldByNumber(1);
  const FieldDescriptor& value = *field.message_type()->FindFieldByNumber(2);
  std::map<std::string, Json> sorted;
  for (int i = 0; i < get.FieldSize(message, &field); ++i) {
    const Message& entry = get.GetRepeatedMessage(message, &field, i);
    const Json name = ValueToJson(entry, key);
    sorted[name.is_string() ? name.get<std::string>() : name.dump()] =
        ValueToJson(entry, value);
  }
  Json object = Json::object();
  for (auto& [name, member] : sorted) object[name] = std::move(member);
  return object;
}

Json DurationToJson(const Message& message) {
  google::protobuf::Duration proto;
  proto.CopyFrom(message);
  return std::string(absl::FormatDuration(absl::Seconds(proto.seconds()) +
                                          absl::Nanoseconds(proto.nanos())));
}

Json TimestampToJson(const Message& message) {
  google::protobuf::Timestamp proto;
  proto.CopyFrom(message);
  const absl::Time time =
      absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
  return std::string(
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ", time, absl::UTCTimeZone()));
}

}  // namespace

Json ToJson(const Message& message) {
  const std::string type(message.GetDescriptor()->full_name());
  if (type == "google.protobuf.Duration") return DurationToJson(message);
  if (type == "google.protobuf.Timestamp") return TimestampToJson(message);
  std::vector<const FieldDescriptor*> fields;  // those set, by number
  message.GetReflection()->ListFields(message, &fields);
  Json object = Json::object();
  for (const FieldDescriptor* field : fields) {
    const std::string name(field->name());
    if (field->is_map()) {
      object[name] = MapToJson(message, *field);
    } else if (field->is_repeated()) {
      Json list = Json::array();
      const int size = message.GetReflection()->FieldSize(message, field);
      for (int i = 0; i < size; ++i) {
        list.push_back(ElementToJson(message, *field, i));
      }
      object[name] = std::move(list);
    } else {
      object[name] = ValueToJson(message, *field);
    }
  }
  return object;
}

}  // namespace trainyard
