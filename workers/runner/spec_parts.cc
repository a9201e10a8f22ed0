#include "workers/runner/spec_parts.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

const EnumNames<data::DataFormat> kDataFormats = {
    {"idx", data::DataFormat::kIdx},
    {"cifar10", data::DataFormat::kCifar10},
    {"cifar100", data::DataFormat::kCifar100},
    {"image_folder", data::DataFormat::kImageFolder}};

absl::Status ParseHiddenSizes(Section& in, std::vector<int64_t>* to) {
  const Json* value = in.Find("hidden_sizes");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_array() || value->size() > 16) {
    return WrongValue(in.PathOf("hidden_sizes"), *value,
                      "an array of at most 16 widths");
  }
  std::vector<int64_t> sizes;
  for (const Json& size : *value) {
    if (!size.is_number_integer() || size < 1 || size > 65536) {
      return WrongValue(
          absl::StrCat(in.PathOf("hidden_sizes"), "[", sizes.size(), "]"), size,
          "a whole number from 1 to 65536");
    }
    sizes.push_back(size.get<int64_t>());
  }
  if (!sizes.empty()) *to = std::move(sizes);
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseSource(Section& in, const std::string& name,
                         std::string* path) {
  return in.Object(name, [path](Section& source) -> absl::Status {
    for (const char* other : {"artifact", "upload"}) {
      if (source.Find(other) != nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat(source.PathOf(other),
                         " is set; a runner takes only a path, the worker puts "
                         "it in the place of an artifact"));
      }
    }
    RETURN_IF_ERROR(source.Path("path", path));
    return source.RefuseUnknown();
  });
}

absl::Status ParseModel(Section& in, ModelOptions* model) {
  RETURN_IF_ERROR(in.Text("architecture", &model->architecture));
  if (model->architecture.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        in.PathOf("architecture"), " is not set; it must name a model"));
  }
  RETURN_IF_ERROR(
      in.Whole("num_classes", 2, 100'000, true, &model->num_classes));
  RETURN_IF_ERROR(ParseHiddenSizes(in, &model->hidden_sizes));
  RETURN_IF_ERROR(ParseSource(in, "weights", &model->weights));
  return in.RefuseUnknown();
}

absl::Status ParseData(Section& in, data::DataOptions* data, bool* augment) {
  if (in.Find("format") == nullptr || *in.Find("format") == "") {
    return absl::InvalidArgumentError(
        absl::StrCat(in.PathOf("format"),
                     " is not set; it must be idx, "
                     "cifar10, cifar100 or image_folder"));
  }
  RETURN_IF_ERROR(in.OneOf("format", kDataFormats, &data->format));
  RETURN_IF_ERROR(ParseSource(in, "source", &data->path));
  if (data->path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(in.PathOf("source.path"),
                     " is not set; it must be the folder with the data"));
  }
  RETURN_IF_ERROR(in.Real(
      "validation_split", [](double x) { return x >= 0 && x <= 0.9; },
      "from 0 to 0.9", &data->validation_split));
  data->image_size = 224;
  RETURN_IF_ERROR(in.Whole("image_size", 8, 4096, true, &data->image_size));
  RETURN_IF_ERROR(
      in.Whole("max_samples", 0, kAnyUint64, true, &data->max_samples));
  RETURN_IF_ERROR(in.Boolean("augment", augment));
  return in.RefuseUnknown();
}

std::string Name(data::DataFormat format) {
  return NameIn(kDataFormats, format);
}

}  // namespace trainyard::runner
