#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/json/job_json.h"
#include "proto/json/json_values.h"
#include "proto/json/names.h"

namespace trainyard {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

constexpr int kDeepest = 32;
constexpr size_t kLongestKey = 80;

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.emplace_back(type.field(i)->name());
  }
  return names;
}

// Path to a field of that name somewhere below; empty: none.
std::string FindBelow(const Descriptor& type, const std::string& name,
                      int levels) {
  if (levels == 0) return "";
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.message_type() == nullptr || field.is_map()) continue;
    const std::string parent(field.name());
    if (field.message_type()->FindFieldByName(name) != nullptr) {
      return absl::StrCat(parent, ".", name);
    }
    const std::string below =
        FindBelow(*field.message_type(), name, levels - 1);
    if (!below.empty()) return absl::StrCat(parent, ".", below);
  }
  return "";
}

class Reader {
 public:
  explicit Reader(const FromJsonOptions& options) : options_(options) {}

  absl::Status ReadMessage(const std::string& path, const Json& json, int depth,
                           Message* message) {
    if (depth > kDeepest) {
      return json::Bad(
          path, absl::StrCat("nested deeper than ", kDeepest, " levels"));
    }
    const Descriptor& type = *message->GetDescriptor();
    const std::string name(type.full_name());
    if (name == "google.protobuf.Duration") {
      return json::ReadDuration(path, json, message);
    }
    if (name == "google.protobuf.Timestamp") {
      return json::ReadTimestamp(path, json, message);
    }
    if (!json.is_object()) {
      return json::WrongValue(
          path, json,
          absl::StrCat("an object with any of ",
                       absl::StrJoin(FieldNames(type), ", ")));
    }
    for (const auto& [key, value] : json.items()) {
      RETURN_IF_ERROR(ReadMember(path, key, value, depth, message));
    }
    return absl::OkStatus();
  }

 private:
  static std::string Join(const std::string& path, const std::string& name) {
    return path.empty() ? name : absl::StrCat(path, ".", name);
  }

  absl::Status UnknownField(const std::string& path, const std::string& key,
                            const Descriptor& type) {
    const std::vector<std::string> names = FieldNames(type);
    std::string nearest = NearestName(key, names);
    if (nearest.empty()) nearest = FindBelow(type, key, 4);
    return json::Bad(
        Join(path,
             key.size() > kLongestKey ? key.substr(0, kLongestKey) + "…" : key),
        nearest.empty()
            ? absl::StrCat("unknown field; known are ",
                           absl::StrJoin(names, ", "))
            : absl::StrCat("unknown field; did you mean \"", nearest, "\"?"));
  }

  // Refuses a second member of a oneof.
  absl::Status CheckOneof(const std::string& path, const FieldDescriptor& field,
                          const Message& message) {
    const OneofDescriptor* oneof = field.real_containing_oneof();
    if (oneof == nullptr ||
        !message.GetReflection()->HasOneof(message, oneof)) {
      return absl::OkStatus();
    }
    const FieldDescriptor* set =
        message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
    std::vector<std::string> names;
    for (int i = 0; i < oneof->field_count(); ++i) {
      names.emplace_back(oneof->field(i)->name());
    }
    return json::Bad(path, absl::StrCat("both ", std::string(set->name()),
                                        " and ", std::string(field.name()),
                                        " are given: must be one of ",
                                        absl::StrJoin(names, ", ")));
  }

  absl::Status ReadMember(const std::string& path, const std::string& key,
                          const Json& value, int depth, Message* message) {
    const Descriptor& type = *message->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(key);
    if (field == nullptr) {
      if (options_.ignore_unknown_fields) return absl::OkStatus();
      return UnknownField(path, key, type);
    }
    if (value.is_null() && options_.null_is_unset) return absl::OkStatus();
    RETURN_IF_ERROR(CheckOneof(path, *field, *message));
    const std::string member = Join(path, key);
    if (field->is_map()) return ReadMap(member, value, depth, *field, message);
    if (field->is_repeated()) {
      return ReadList(member, value, depth, *field, message);
    }
    return ReadValue(member, value, depth, *field, message);
  }

  absl::Status ReadList(const std::string& path, const Json& json, int depth,
                        const FieldDescriptor& field, Message* message) {
    if (!json.is_array()) return json::WrongValue(path, json, "a list");
    for (size_t i = 0; i < json.size(); ++i) {
      RETURN_IF_ERROR(ReadValue(absl::StrCat(path, "[", i, "]"), json[i], depth,
                                field, message));
    }
    return absl::OkStatus();
  }

  absl::Status ReadMap(const std::string& path, const Json& json, int depth,
                       const FieldDescriptor& field, Message* message) {
    if (!json.is_object()) {
      return json::WrongValue(path, json, "an object of names and values");
    }
    const FieldDescriptor& key = *field.message_type()->FindFieldByNumber(1);
    const FieldDescriptor& value = *field.message_type()->FindFieldByNumber(2);
    const bool text = key.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    for (const auto& [name, member] : json.items()) {
      const std::string member_path = Join(path, name);
      Message* entry = message->GetReflection()->AddMessage(message, &field);
      const Json key_json =
          text ? Json(name) : Json::parse(name, nullptr, false);
      RETURN_IF_ERROR(ReadValue(member_path, key_json, depth, key, entry));
      RETURN_IF_ERROR(ReadValue(member_path, member, depth, value, entry));
    }
    return absl::OkStatus();
  }

  // Sets a singular field or adds to a repeated one.
  absl::Status ReadValue(const std::string& path, const Json& json, int depth,
                         const FieldDescriptor& field, Message* message) {
    const Reflection& to = *message->GetReflection();
    const bool add = field.is_repeated();
    const bool size =
        json.is_string() && absl::EndsWith(std::string(field.name()), "_bytes");
    switch (field.cpp_type()) {
#define TRAINYARD_READ(Kind, expression)            \
  {                                                 \
    ASSIGN_OR_RETURN(const auto value, expression); \
    add ? to.Add##Kind(message, &field, value)      \
        : to.Set##Kind(message, &field, value);     \
    return absl::OkStatus();                        \
  }
      case FieldDescriptor::CPPTYPE_INT32:
        TRAINYARD_READ(Int32, json::ReadInteger<int32_t>(path, json))
      case FieldDescriptor::CPPTYPE_INT64:
        TRAINYARD_READ(Int64, json::ReadInteger<int64_t>(path, json))
      case FieldDescriptor::CPPTYPE_UINT32:
        TRAINYARD_READ(UInt32, json::ReadInteger<uint32_t>(path, json))
      case FieldDescriptor::CPPTYPE_UINT64:
        TRAINYARD_READ(UInt64, size ? json::ReadSize(path, json)
                                    : json::ReadInteger<uint64_t>(path, json))
      case FieldDescriptor::CPPTYPE_DOUBLE:
        TRAINYARD_READ(Double, json::ReadDouble(path, json))
      case FieldDescriptor::CPPTYPE_FLOAT:
        TRAINYARD_READ(Float, json::ReadFloat(path, json))
      case FieldDescriptor::CPPTYPE_BOOL:
        TRAINYARD_READ(Bool, json::ReadBool(path, json))
      case FieldDescriptor::CPPTYPE_ENUM:
        TRAINYARD_READ(EnumValue, json::ReadEnum(path, json, field))
      case FieldDescriptor::CPPTYPE_STRING:
        TRAINYARD_READ(String, json::ReadText(path, json, field))
#undef TRAINYARD_READ
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return ReadMessage(path, json, depth + 1,
                           add ? to.AddMessage(message, &field)
                               : to.MutableMessage(message, &field));
    }
    return absl::InternalError(absl::StrCat(path, ": field of unknown type"));
  }

  const FromJsonOptions& options_;
};

}  // namespace

absl::Status FromJson(const Json& json, Message* message,
                      const FromJsonOptions& options) {
  const std::unique_ptr<Message> fresh(message->New());
  RETURN_IF_ERROR(Reader(options).ReadMessage("", json, 0, fresh.get()));
  message->GetReflection()->Swap(message, fresh.get());
  return absl::OkStatus();
}

}  // namespace trainyard
