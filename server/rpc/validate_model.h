// Checks of what several kinds of job name: sources, models, data. Errors name
// the field within the part: put Below() around for where the part is.
//
//   RETURN_IF_ERROR(Below("training.model", CheckModel(model)));
//
// Pure; thread-safe as long as the arguments are.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/generated_enum_reflection.h"
#include "proto/json/names.h"
#include "trainyard/v1/training.pb.h"

namespace trainyard::rpc {

absl::Status CheckSource(const v1::Source& source);
// Fills in hidden_sizes.
absl::Status CheckModel(v1::ModelSpec* model);
// Fills in image_size.
absl::Status CheckData(v1::DataSpec* data);
// What is certain without a look at the data; the runner checks the rest. About
// the model's fields.
absl::Status CheckFit(const v1::ModelSpec& model, const v1::DataSpec& data);

// "one of idx, cifar10, …".
template <typename Enum>
std::string OneOf() {
  return absl::StrCat(
      "one of ",
      absl::StrJoin(
          ShortEnumNames(*google::protobuf::GetEnumDescriptor<Enum>()), ", "));
}

}  // namespace trainyard::rpc
