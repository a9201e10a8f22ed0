#include "client/trainctl/cloud_prices.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "client/trainctl/yaml_reader.h"

namespace trainyard::trainctl {
namespace {

constexpr size_t kMaxInstances = 10000;
constexpr double kMost = 1e6;

absl::Status Wrong(const std::string& field, const std::string& right) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": must be ", right));
}

// One mapping of the file; remembers what was asked for, so that unknown
// members are found.
class Section {
 public:
  Section(const Json& json, std::string path)
      : json_(json), path_(std::move(path)) {}

  absl::Status CheckMembers(const std::vector<std::string>& known) const {
    if (!json_.is_object()) return Wrong(path_, "a mapping");
    for (const auto& [name, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(Field(name), ": is not known here"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Text(const std::string& name) const {
    const auto found = json_.find(name);
    if (found == json_.end() || !found->is_string() ||
        found->get<std::string>().empty()) {
      return Wrong(Field(name), "a text");
    }
    return found->get<std::string>();
  }

  absl::StatusOr<double> Number(const std::string& name, double least) const {
    const auto found = json_.find(name);
    const bool number = found != json_.end() && found->is_number();
    const double value = number ? found->get<double>() : 0;
    if (!number || !std::isfinite(value) || value < least || value > kMost) {
      return Wrong(Field(name),
                   absl::StrCat("a number from ", least, " to ", kMost));
    }
    return value;
  }

  absl::StatusOr<uint32_t> Count(const std::string& name) const {
    ASSIGN_OR_RETURN(const double value, Number(name, 1));
    if (value != std::floor(value)) return Wrong(Field(name), "a whole number");
    return static_cast<uint32_t>(value);
  }

  std::string Field(const std::string& name) const {
    return path_.empty() ? name : absl::StrCat(path_, ".", name);
  }

 private:
  const Json& json_;
  const std::string path_;
};

absl::StatusOr<std::map<std::string, CloudGpu>> ParseGpus(const Json& json) {
  if (!json.is_object() || json.empty()) {
    return Wrong("gpus", "a mapping with at least one GPU");
  }
  std::map<std::string, CloudGpu> gpus;
  for (const auto& [name, value] : json.items()) {
    const Section section(value, absl::StrCat("gpus.", name));
    RETURN_IF_ERROR(section.CheckMembers({"memory_gib", "speed"}));
    CloudGpu& gpu = gpus[name];
    ASSIGN_OR_RETURN(gpu.memory_gib, section.Number("memory_gib", 0.1));
    ASSIGN_OR_RETURN(gpu.speed, section.Number("speed", 0.001));
  }
  return gpus;
}

absl::StatusOr<CloudInstance> ParseInstance(
    const Json& json, const std::string& path,
    const std::map<std::string, CloudGpu>& gpus) {
  const Section section(json, path);
  RETURN_IF_ERROR(
      section.CheckMembers({"cloud", "name", "region", "cores", "memory_gib",
                            "gpu", "gpus", "dollars", "spot"}));
  CloudInstance instance;
  ASSIGN_OR_RETURN(instance.cloud, section.Text("cloud"));
  if (instance.cloud != "aws" && instance.cloud != "gcp" &&
      instance.cloud != "azure") {
    return Wrong(section.Field("cloud"), "aws, gcp or azure");
  }
  ASSIGN_OR_RETURN(instance.name, section.Text("name"));
  ASSIGN_OR_RETURN(instance.region, section.Text("region"));
  ASSIGN_OR_RETURN(instance.cores, section.Count("cores"));
  ASSIGN_OR_RETURN(instance.memory_gib, section.Number("memory_gib", 0.1));
  ASSIGN_OR_RETURN(instance.gpu, section.Text("gpu"));
  if (!gpus.contains(instance.gpu)) {
    return Wrong(section.Field("gpu"), "one of those under gpus");
  }
  ASSIGN_OR_RETURN(instance.gpus, section.Count("gpus"));
  ASSIGN_OR_RETURN(instance.dollars, section.Number("dollars", 0));
  ASSIGN_OR_RETURN(instance.spot, section.Number("spot", 0));
  return instance;
}

// YAML takes an unquoted date for text, since it is no number.
absl::StatusOr<std::string> ParseDate(const Section& section) {
  ASSIGN_OR_RETURN(std::string date, section.Text("date"));
  absl::Time time;
  if (!absl::ParseTime("%Y-%m-%d", date, &time, nullptr)) {
    return Wrong("date", "a day such as 2024-07-01");
  }
  return date;
}

}  // namespace

absl::StatusOr<CloudPrices> ParseCloudPrices(const std::string& yaml) {
  ASSIGN_OR_RETURN(const YamlDocument document, ReadYaml(yaml));
  const Section section(document.json, "");
  if (!document.json.is_object()) return Wrong("prices", "a mapping");
  RETURN_IF_ERROR(section.CheckMembers(
      {"date", "source", "reference_gpu", "gpus", "instances"}));
  CloudPrices prices;
  ASSIGN_OR_RETURN(prices.date, ParseDate(section));
  ASSIGN_OR_RETURN(prices.source, section.Text("source"));
  ASSIGN_OR_RETURN(prices.reference_gpu, section.Text("reference_gpu"));
  ASSIGN_OR_RETURN(prices.gpus,
                   ParseGpus(document.json.value("gpus", Json::object())));
  if (!prices.gpus.contains(prices.reference_gpu)) {
    return Wrong("reference_gpu", "one of those under gpus");
  }
  const Json instances = document.json.value("instances", Json::array());
  if (!instances.is_array() || instances.empty() ||
      instances.size() > kMaxInstances) {
    return Wrong("instances",
                 absl::StrCat("a list of 1 to ", kMaxInstances, " instances"));
  }
  for (size_t i = 0; i < instances.size(); ++i) {
    ASSIGN_OR_RETURN(
        CloudInstance instance,
        ParseInstance(instances[i], absl::StrCat("instances[", i, "]"),
                      prices.gpus));
    prices.instances.push_back(std::move(instance));
  }
  return prices;
}

}  // namespace trainyard::trainctl
