#include "client/trainctl/settings.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/trainctl/yaml_reader.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {
namespace {

constexpr char kDefault[] = "127.0.0.1:7070";

absl::StatusOr<std::string> CheckAddress(const std::string& origin,
                                         const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  bool good = colon != std::string::npos && colon > 0 &&
              absl::SimpleAtoi(address.substr(colon + 1), &port) && port > 0 &&
              port < 65536;
  for (const char c : address)
    good = good && absl::ascii_isgraph(static_cast<unsigned char>(c));
  if (good || absl::StartsWith(address, "unix:")) return address;
  return absl::InvalidArgumentError(absl::StrCat(
      origin, ": \"", address, "\": must be host:port, such as ", kDefault));
}

absl::StatusOr<std::string> FromConfig(const std::string& path,
                                       const std::string& text) {
  const absl::StatusOr<YamlDocument> document = ReadYaml(text);
  if (!document.ok()) return WithContext(document.status(), path);
  if (!document->json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": must be such as \"server: ", kDefault, "\""));
  }
  std::string server = kDefault;
  for (const auto& [key, value] : document->json.items()) {
    const std::string place = absl::StrCat(
        path, ":", document->LineOf(absl::StrCat(key, ": ")), ": ", key);
    if (key != "server") {
      return absl::InvalidArgumentError(absl::StrCat(
          place, ": unknown field; ",
          NearestName(key, {"server"}).empty() ? "known is server"
                                               : "did you mean \"server\"?"));
    }
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(place, ": must be host:port"));
    }
    ASSIGN_OR_RETURN(server, CheckAddress(place, value.get<std::string>()));
  }
  return server;
}

}  // namespace

absl::StatusOr<std::string> ServerAddress(const Console& console,
                                          const std::string& flag) {
  if (!flag.empty()) return CheckAddress("--server", flag);
  if (const auto value = console.environment("TRAINYARD_SERVER")) {
    return CheckAddress("TRAINYARD_SERVER", *value);
  }
  const auto chosen = console.environment("TRAINYARD_CONFIG");
  const auto home = console.environment("HOME");
  const auto xdg = console.environment("XDG_CONFIG_HOME");
  if (!chosen && !home && !xdg) return kDefault;
  const std::string path = chosen
                               ? *chosen
                               : absl::StrCat(xdg ? *xdg : *home + "/.config",
                                              "/trainyard/config.yaml");
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (text.ok()) return FromConfig(path, *text);
  // The usual place may be empty, one that was asked for may not.
  if (!chosen && absl::IsNotFound(text.status())) return kDefault;
  return text.status();
}

}  // namespace trainyard::trainctl
