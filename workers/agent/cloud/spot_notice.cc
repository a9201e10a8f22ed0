#include "workers/agent/cloud/spot_notice.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace trainyard::agent {
namespace {

using Json = nlohmann::json;
using Answer = absl::StatusOr<std::optional<SpotNotice>>;

constexpr int kOk = 200;
constexpr int kNotFound = 404;

std::string TextAt(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  return found->get<std::string>();
}

// Unknown forms are no time, not an error: that there is a notice counts.
std::optional<absl::Time> TimeAt(const Json& object, const char* key) {
  const std::string text = TextAt(object, key);
  absl::Time time;
  // AWS: "2017-09-18T08:22:00Z". Azure: "Mon, 19 Sep 2016 18:29:47 GMT".
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) ||
      absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, &time, nullptr)) {
    return time;
  }
  return std::nullopt;
}

absl::Status NoSense(absl::string_view body) {
  return absl::InvalidArgumentError(absl::StrCat(
      "no sense in \"", absl::CHexEscape(body.substr(0, 80)), "\""));
}

Answer ParseAws(absl::string_view body) {
  const Json json = Json::parse(body.begin(), body.end(), nullptr,
                                /*allow_exceptions=*/false);
  const std::string action = TextAt(json, "action");
  if (action.empty()) return NoSense(body);
  // stop, hibernate and terminate: the machine goes in each case.
  return SpotNotice{TimeAt(json, "time")};
}

Answer ParseGcp(absl::string_view body) {
  const absl::string_view word = absl::StripAsciiWhitespace(body);
  if (word == "TRUE") return SpotNotice{};
  if (word == "FALSE") return std::nullopt;
  return NoSense(body);
}

Answer ParseAzure(absl::string_view body) {
  const Json json = Json::parse(body.begin(), body.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("Events") ||
      !json["Events"].is_array()) {
    return NoSense(body);
  }
  for (const Json& event : json["Events"]) {
    const std::string type = TextAt(event, "EventType");
    if (type == "Preempt" || type == "Terminate") {
      return SpotNotice{TimeAt(event, "NotBefore")};
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Cloud> ParseCloud(absl::string_view name) {
  if (name == "none") return Cloud::kNone;
  if (name == "aws") return Cloud::kAws;
  if (name == "gcp") return Cloud::kGcp;
  if (name == "azure") return Cloud::kAzure;
  return absl::InvalidArgumentError(
      absl::StrCat("--cloud ", name, ": must be none, aws, gcp or azure"));
}

MetadataQuery QueryOf(Cloud cloud) {
  switch (cloud) {
    case Cloud::kAws:
      return {.path = "/latest/meta-data/spot/instance-action",
              .headers = {},
              .token_path = "/latest/api/token",
              .token_headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "60"}},
              .token_header = "X-aws-ec2-metadata-token"};
    case Cloud::kGcp:
      return {.path = "/computeMetadata/v1/instance/preempted",
              .headers = {{"Metadata-Flavor", "Google"}},
              .token_path = "",
              .token_headers = {},
              .token_header = ""};
    case Cloud::kAzure:
      return {.path = "/metadata/scheduledevents?api-version=2020-07-01",
              .headers = {{"Metadata", "true"}},
              .token_path = "",
              .token_headers = {},
              .token_header = ""};
    case Cloud::kNone:
      break;
  }
  return {};
}

Answer ParseSpotNotice(Cloud cloud, int http_status, absl::string_view body) {
  if (cloud == Cloud::kAws && http_status == kNotFound) return std::nullopt;
  if (http_status != kOk) {
    return absl::UnavailableError(absl::StrCat("HTTP status ", http_status));
  }
  switch (cloud) {
    case Cloud::kAws:
      return ParseAws(body);
    case Cloud::kGcp:
      return ParseGcp(body);
    case Cloud::kAzure:
      return ParseAzure(body);
    case Cloud::kNone:
      break;
  }
  return std::nullopt;
}

}  // namespace trainyard::agent
