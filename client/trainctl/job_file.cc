#include "client/trainctl/job_file.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "google/protobuf/descriptor.h"

namespace trainyard::trainctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kSource[] = "trainyard.v1.Source";

std::string Absolute(const std::string& folder, const std::string& path) {
  return std::filesystem::absolute(std::filesystem::path(folder) / path)
      .lexically_normal()
      .string();
}

// Writes short sources out and makes uploads absolute.
absl::Status ExpandSource(const std::string& path, const std::string& folder,
                          Json* json) {
  if (json->is_string()) {
    const std::string text = json->get<std::string>();
    const char* kind =
        absl::StartsWith(text, "/")         ? "path"
        : absl::StartsWith(text, "sha256:") ? "artifact"
        : absl::StartsWith(text, "./") || absl::StartsWith(text, "../")
            ? "upload"
            : nullptr;
    if (kind == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": \"", text,
          "\": must be an absolute path on the worker, \"sha256:…\" for an "
          "artifact, or a path that begins with ./ to upload"));
    }
    *json = Json{{kind, text}};
  }
  if (json->is_object() && json->contains("upload") &&
      (*json)["upload"].is_string()) {
    Json& upload = (*json)["upload"];
    upload = Absolute(folder, upload.get<std::string>());
  }
  return absl::OkStatus();
}

// The same for every source below; what has the wrong type is left to FromJson.
absl::Status ExpandSources(const std::string& path, const std::string& folder,
                           const Descriptor& type, Json* json) {
  if (std::string(type.full_name()) == kSource) {
    return ExpandSource(path, folder, json);
  }
  if (!json->is_object()) return absl::OkStatus();
  for (auto& [key, value] : json->items()) {
    const FieldDescriptor* field = type.FindFieldByName(key);
    if (field == nullptr || field->message_type() == nullptr ||
        field->is_map()) {
      continue;
    }
    const std::string member =
        path.empty() ? key : absl::StrCat(path, ".", key);
    if (!field->is_repeated()) {
      RETURN_IF_ERROR(
          ExpandSources(member, folder, *field->message_type(), &value));
      continue;
    }
    for (size_t i = 0; value.is_array() && i < value.size(); ++i) {
      RETURN_IF_ERROR(ExpandSources(absl::StrCat(member, "[", i, "]"), folder,
                                    *field->message_type(), &value[i]));
    }
  }
  return absl::OkStatus();
}

// 17 and "17" become "jobs/17", as on the command line.
void ExpandJobs(Json* json) {
  static const Json::json_pointer kMembers("/ensemble/members");
  if (!json->contains(kMembers) || !(*json)[kMembers].is_array()) return;
  for (Json& member : (*json)[kMembers]) {
    if (!member.is_object() || !member.contains("job")) continue;
    Json& job = member["job"];
    const std::string number = job.is_number_integer() ? job.dump()
                               : job.is_string()       ? job.get<std::string>()
                                                       : "";
    if (!number.empty() &&
        std::all_of(number.begin(), number.end(), absl::ascii_isdigit)) {
      job = absl::StrCat("jobs/", number);
    }
  }
}

// Sources and jobs may be short.
absl::Status Expand(const std::string& folder, Json* json) {
  ExpandJobs(json);
  return ExpandSources("", folder, *v1::JobSpec::descriptor(), json);
}

// Where a path leads while it is walked.
struct Place {
  Json* json;
  const Descriptor* type;        // of the object there; nullptr: not known
  const FieldDescriptor* field;  // that the last step took; nullptr: unknown
};

absl::Status Enter(const std::string& path, Place* place) {
  if (place->json->is_null()) *place->json = Json::object();
  if (place->json->is_object()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": has a value that is no object"));
}

// "[2]" after a list's name.
absl::Status StepIndex(const std::string& path, absl::string_view digits,
                       Place* place) {
  if (place->json->is_null()) *place->json = Json::array();
  uint64_t index = 0;
  if (!place->json->is_array() || !absl::SimpleAtoi(digits, &index) ||
      index > place->json->size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": [", digits, "] must be a place in a list of ",
        place->json->is_array() ? place->json->size() : 0, " or the next one"));
  }
  if (index == place->json->size()) place->json->push_back(nullptr);
  place->json = &(*place->json)[index];
  return absl::OkStatus();
}

// "devices[0]".
absl::Status Step(const std::string& path, absl::string_view part, bool last,
                  Place* place) {
  RETURN_IF_ERROR(Enter(path, place));
  const size_t bracket = part.find('[');
  const std::string name(part.substr(0, bracket));
  if (name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", path, "\": must be such as training.epochs"));
  }
  place->field =
      place->type == nullptr ? nullptr : place->type->FindFieldByName(name);
  const auto* oneof =
      place->field == nullptr ? nullptr : place->field->real_containing_oneof();
  for (int i = 0; last && oneof != nullptr && i < oneof->field_count(); ++i) {
    const std::string other(oneof->field(i)->name());
    if (other != name) place->json->erase(other);
  }
  place->json = &(*place->json)[name];
  place->type =
      place->field == nullptr ? nullptr : place->field->message_type();
  if (bracket == absl::string_view::npos) return absl::OkStatus();
  if (!absl::EndsWith(part, "]")) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a [ is without its ]"));
  }
  return StepIndex(path, part.substr(bracket + 1, part.size() - bracket - 2),
                   place);
}

bool IsText(const FieldDescriptor* field) {
  return field != nullptr && !field->is_map() &&
         field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

void CollectUploads(Message* message, std::vector<v1::Source*>* uploads) {
  if (auto* source = dynamic_cast<v1::Source*>(message)) {
    if (source->from_case() == v1::Source::kUpload) uploads->push_back(source);
    return;
  }
  const auto& reflection = *message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() == nullptr || field->is_map()) continue;
    if (!field->is_repeated()) {
      CollectUploads(reflection.MutableMessage(message, field), uploads);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(*message, field); ++i) {
      CollectUploads(reflection.MutableRepeatedMessage(message, field, i),
                     uploads);
    }
  }
}

// The wire cannot tell an explicit 0 from an absent number, and here the
// default would silently take its place.
absl::Status CheckLearningRate(const Json& json) {
  static const Json::json_pointer kPath("/training/optimizer/learning_rate");
  if (!json.contains(kPath) || json[kPath] != 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "training.optimizer.learning_rate: 0: must be above 0, or leave the "
      "field "
      "out for the default");
}

}  // namespace

// Puts in front where the value came from: the command line or the file.
absl::Status JobFile::Located(const absl::Status& status) const {
  if (status.ok()) return status;
  const std::string message(status.message());
  for (auto it = origins_.rbegin(); it != origins_.rend(); ++it) {
    const auto& [path, origin] = *it;
    if (absl::StartsWith(message, path) &&
        absl::string_view(":.[").find(message[path.size()]) !=
            absl::string_view::npos) {
      return WithContext(status, origin);
    }
  }
  if (name_.empty()) return status;
  const int line = document_.LineOf(message);
  return WithContext(status, line > 0 ? absl::StrCat(name_, ":", line) : name_);
}

absl::StatusOr<JobFile> JobFile::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  if (path == "-") return Parse("standard input", text, ".");
  return Parse(path, text, std::filesystem::path(path).parent_path().string());
}

absl::StatusOr<JobFile> JobFile::Parse(const std::string& name,
                                       const std::string& text,
                                       const std::string& folder) {
  JobFile file;
  file.name_ = name;
  absl::StatusOr<YamlDocument> document = ReadYaml(text);
  if (!document.ok()) return WithContext(document.status(), name);
  file.document_ = *std::move(document);
  if (!file.document_.json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": must hold the fields of a job, such as name and training"));
  }
  RETURN_IF_ERROR(file.Located(Expand(folder, &file.document_.json)));
  return file;
}

absl::Status JobFile::Set(const std::string& path, const std::string& value,
                          const std::string& origin) {
  origins_.emplace_back(path, origin);
  Place place{&document_.json, v1::JobSpec::descriptor(), nullptr};
  std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    RETURN_IF_ERROR(WithContext(Step(path, parts[i], last, &place), origin));
    if (place.field != nullptr && place.field->is_map() && !last) {
      // Keys may hold dots: the rest is the key, the value its text.
      RETURN_IF_ERROR(WithContext(Enter(path, &place), origin));
      (*place.json)[absl::StrJoin(parts.begin() + static_cast<long>(i) + 1,
                                  parts.end(), ".")] = value;
      return absl::OkStatus();
    }
  }
  if (IsText(place.field) &&
      (!place.field->is_repeated() || absl::EndsWith(path, "]"))) {
    *place.json = value;
  } else if (place.field != nullptr && place.type != nullptr &&
             std::string(place.type->full_name()) == kSource &&
             !absl::StartsWith(value, "{")) {
    *place.json = value;  // expanded below
  } else {
    absl::StatusOr<YamlDocument> document = ReadYaml(value);
    if (!document.ok()) return WithContext(document.status(), origin);
    *place.json = std::move(document->json);
  }
  return WithContext(Expand(".", &document_.json), origin);
}

absl::StatusOr<v1::JobSpec> JobFile::ToSpec() const {
  RETURN_IF_ERROR(Located(CheckLearningRate(document_.json)));
  v1::JobSpec spec;
  RETURN_IF_ERROR(Located(FromJson(document_.json, &spec)));
  return spec;
}

std::vector<v1::Source*> FindUploads(v1::JobSpec* spec) {
  std::vector<v1::Source*> uploads;
  CollectUploads(spec, &uploads);
  return uploads;
}

}  // namespace trainyard::trainctl
