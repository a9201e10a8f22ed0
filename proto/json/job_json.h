// Protobuf messages as the JSON that job files, the runner protocol and
// `trainctl --output json` share, by reflection:
//
//   field names   as in the proto: learning_rate
//   enums         without prefix, lower case: FORMAT_IMAGE_FOLDER, image_folder
//   integers      numbers, 64-bit ones too
//   durations     "1m30s"; read also as a number of seconds
//   timestamps    "2024-05-01T12:00:00.25Z"
//   sizes         numbers; fields named …_bytes are read also as "8GiB"
//   maps          objects; bytes as base64
//   unset members are absent; doubles that are not finite are null
//
//   Json json = ToJson(spec);
//   RETURN_IF_ERROR(FromJson(json, &spec));
//
// No state: thread-safe as long as the arguments are.
#pragma once

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace trainyard {

// Keeps members in the order of the proto. nlohmann::json converts to it.
using Json = nlohmann::ordered_json;

Json ToJson(const google::protobuf::Message& message);

struct FromJsonOptions {
  // Members that the message lacks are skipped, as news from a newer peer.
  bool ignore_unknown_fields = false;
  // null counts as absent; else it is refused.
  bool null_is_unset = false;
};

// Replaces *message by what the JSON says. INVALID_ARGUMENT names the path, the
// value and what would be right, and leaves *message as it was:
//
//   training.optimizer.lerning_rate: unknown field; did you mean
//   "learning_rate"?
//
// Refuses unknown members, wrong types, numbers out of the field's range or
// not finite, negative durations, two members of one oneof, text that is not
// UTF-8 and nesting over 32 levels.
absl::Status FromJson(const Json& json, google::protobuf::Message* message,
                      const FromJsonOptions& options = {});

}  // namespace trainyard
