// Single values out of JSON, for json_reader.cc alone. Errors are
// INVALID_ARGUMENT and name the path, the value and what would be right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/json/job_json.h"

namespace trainyard::json {

// "path: problem".
absl::Status Bad(const std::string& path, const std::string& problem);
// "path: value: must be right".
absl::Status WrongValue(const std::string& path, const Json& json,
                        const std::string& right);

// A whole number that T holds; T is int32_t, int64_t, uint32_t or uint64_t.
template <typename T>
absl::StatusOr<T> ReadInteger(const std::string& path, const Json& json);
// Finite numbers only.
absl::StatusOr<double> ReadDouble(const std::string& path, const Json& json);
absl::StatusOr<float> ReadFloat(const std::string& path, const Json& json);
absl::StatusOr<bool> ReadBool(const std::string& path, const Json& json);
// UTF-8 for strings, base64 for bytes.
absl::StatusOr<std::string> ReadText(
    const std::string& path, const Json& json,
    const google::protobuf::FieldDescriptor& field);
// The number of the value.
absl::StatusOr<int> ReadEnum(const std::string& path, const Json& json,
                             const google::protobuf::FieldDescriptor& field);
// "8GiB"; the JSON must be text.
absl::StatusOr<uint64_t> ReadSize(const std::string& path, const Json& json);
// *message is a google.protobuf.Duration or Timestamp.
absl::Status ReadDuration(const std::string& path, const Json& json,
                          google::protobuf::Message* message);
absl::Status ReadTimestamp(const std::string& path, const Json& json,
                           google::protobuf::Message* message);

}  // namespace trainyard::json
