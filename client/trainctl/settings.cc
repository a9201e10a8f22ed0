#include "client/trainctl/settings.h"

#include <array>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/address.h"
#include "base/status_macros.h"
#include "client/trainctl/text.h"
#include "client/trainctl/yaml_reader.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {
namespace {

constexpr char kDefault[] = "127.0.0.1:7070";
constexpr size_t kMaxContexts = 1000;

// What can be set by flag, environment and file.
struct Field {
  const char* name;
  const char* variable;
  std::string& (*in)(Settings&);
  bool is_file;
};

const std::array<Field, 6>& Fields() {
  static const std::array<Field, 6> fields = {{
      {"server", "TRAINYARD_SERVER",
       [](Settings& s) -> std::string& { return s.server; }, false},
      {"tls_ca", "TRAINYARD_TLS_CA",
       [](Settings& s) -> std::string& { return s.security.tls_ca; }, true},
      {"tls_cert", "TRAINYARD_TLS_CERT",
       [](Settings& s) -> std::string& { return s.security.tls_cert; }, true},
      {"tls_key", "TRAINYARD_TLS_KEY",
       [](Settings& s) -> std::string& { return s.security.tls_key; }, true},
      {"tls_server_name", "TRAINYARD_TLS_SERVER_NAME",
       [](Settings& s) -> std::string& { return s.security.tls_server_name; },
       false},
      {"token_file", "TRAINYARD_TOKEN_FILE",
       [](Settings& s) -> std::string& { return s.security.token_file; }, true},
  }};
  return fields;
}

absl::StatusOr<std::string> CheckAddress(const std::string& origin,
                                         const std::string& address) {
  const absl::StatusOr<HostPort> at = ParseHostPort(address);
  bool good = at.ok() && at->port > 0;
  for (const char c : address)
    good = good && absl::ascii_isgraph(static_cast<unsigned char>(c));
  if (good || absl::StartsWith(address, "unix:")) return address;
  return absl::InvalidArgumentError(absl::StrCat(
      origin, ": \"", address, "\": must be host:port, such as ", kDefault));
}

// The config file, while it is read.
class ConfigFile {
 public:
  ConfigFile(std::string path, YamlDocument document)
      : path_(std::move(path)), document_(std::move(document)) {}

  // The context of that name; empty: the one it chooses itself.
  absl::StatusOr<Settings> Read(std::string context) const {
    const Json& root = document_.json;
    if (!root.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": must be such as \"server: ", kDefault, "\""));
    }
    Settings top = {.server = "", .security = {}};
    std::string chosen;
    for (const auto& [key, value] : root.items()) {
      if (key == "contexts") continue;
      if (key == "context") {
        if (!value.is_string()) return Wrong(key, "must be text");
        chosen = value.get<std::string>();
        continue;
      }
      RETURN_IF_ERROR(Set(key, key, value, {"context", "contexts"}, &top));
    }
    if (context.empty()) context = chosen;
    if (context.empty()) return top;
    return ReadContext(context);
  }

 private:
  absl::StatusOr<Settings> ReadContext(const std::string& name) const {
    const auto contexts = document_.json.find("contexts");
    if (contexts == document_.json.end() || !contexts->is_object() ||
        contexts->size() > kMaxContexts) {
      return Wrong("contexts",
                   "must be a map of names to settings, at most 1,000");
    }
    const auto found = contexts->find(name);
    if (found == contexts->end() || !found->is_object()) {
      return absl::NotFoundError(
          absl::StrCat(path_, ": contexts: there is no \"", Printable(name),
                       "\" with settings of its own"));
    }
    Settings settings = {.server = "", .security = {}};
    for (const auto& [key, value] : found->items()) {
      RETURN_IF_ERROR(Set(absl::StrCat("contexts.", name, ".", key), key,
                          value, {}, &settings));
    }
    return settings;
  }

  absl::Status Set(const std::string& place, const std::string& key,
                   const Json& value, std::vector<std::string> others,
                   Settings* settings) const {
    std::vector<std::string> known;
    for (const Field& field : Fields()) {
      known.push_back(field.name);
      if (key != field.name) continue;
      if (!value.is_string()) {
        return Wrong(place, key == std::string("server") ? "must be host:port"
                                                         : "must be text");
      }
      std::string& in = field.in(*settings);
      in = value.get<std::string>();
      if (field.is_file) in = Beside(in);
      if (key != "server") return absl::OkStatus();
      return CheckAddress(Place(place), in).status();
    }
    known.insert(known.end(), others.begin(), others.end());
    const std::string nearest = NearestName(key, known);
    return Wrong(place, nearest.empty()
                            ? absl::StrCat("unknown field; known are ",
                                           absl::StrJoin(known, ", "))
                            : absl::StrCat("unknown field; did you mean \"",
                                           nearest, "\"?"));
  }

  // Relative files are meant from the config file's folder.
  std::string Beside(const std::string& file) const {
    if (file.empty() || file == "system") return file;
    return (std::filesystem::path(path_).parent_path() / file).string();
  }

  std::string Place(const std::string& place) const {
    const int line = document_.LineOf(absl::StrCat(place, ": "));
    return absl::StrCat(path_, line > 0 ? absl::StrCat(":", line) : "", ": ",
                        Printable(place));
  }
  absl::Status Wrong(const std::string& place, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(Place(place), ": ", why));
  }

  const std::string path_;
  const YamlDocument document_;
};

absl::StatusOr<Settings> FromFile(const Console& console,
                                  const std::string& context) {
  const auto chosen = console.environment("TRAINYARD_CONFIG");
  const auto home = console.environment("HOME");
  const auto xdg = console.environment("XDG_CONFIG_HOME");
  Settings none = {.server = "", .security = {}};
  if (!chosen && !home && !xdg) return none;
  const std::string path = chosen
                               ? *chosen
                               : absl::StrCat(xdg ? *xdg : *home + "/.config",
                                              "/trainyard/config.yaml");
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (!text.ok()) {
    // The usual place may be empty, one that was asked for may not.
    const bool needed = chosen || !context.empty();
    if (!needed && absl::IsNotFound(text.status())) return none;
    return text.status();
  }
  absl::StatusOr<YamlDocument> document = ReadYaml(*text);
  if (!document.ok()) return WithContext(document.status(), path);
  return ConfigFile(path, *std::move(document)).Read(context);
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(const Console& console,
                                      const SettingFlags& flags) {
  Settings given = flags.set;
  if (!given.server.empty()) {
    RETURN_IF_ERROR(CheckAddress("--server", given.server).status());
  }
  for (const Field& field : Fields()) {
    std::string& in = field.in(given);
    const auto value = console.environment(field.variable);
    if (!in.empty() || !value) continue;
    in = *value;
    if (&field == &Fields()[0]) {
      RETURN_IF_ERROR(CheckAddress(field.variable, in).status());
    }
  }
  // A token file on the command line beats a token in the environment.
  if (flags.set.security.token_file.empty()) {
    given.security.token = console.environment("TRAINYARD_TOKEN").value_or("");
  }
  const std::string context =
      !flags.context.empty()
          ? flags.context
          : console.environment("TRAINYARD_CONTEXT").value_or("");
  // A broken file does not matter to one who says everything.
  if (given.server.empty() || !context.empty() ||
      given.security.tls_ca.empty()) {
    absl::StatusOr<Settings> file = FromFile(console, context);
    if (!file.ok() && given.server.empty()) return file.status();
    if (!file.ok()) file = Settings{.server = "", .security = {}};
    if (file->server.empty()) file->server = kDefault;
    if (given.server.empty() || given.server == file->server) {
      for (const Field& field : Fields()) {
        std::string& in = field.in(given);
        if (in.empty()) in = field.in(*file);
      }
    }
  }
  const absl::Status checked = CheckSecurity(given.server, given.security);
  if (!checked.ok()) return checked;
  return given;
}

}  // namespace trainyard::trainctl
