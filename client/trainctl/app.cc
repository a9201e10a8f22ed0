#include "client/trainctl/app.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/trainctl/settings.h"
#include "client/trainctl/text.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {
namespace {

struct GlobalOptions {
  SettingFlags settings;
  OutputFormat format = OutputFormat::kTable;
};

std::string Footer() {
  return absl::StrCat(
      "\nThe server is --server, else TRAINYARD_SERVER, else \"server:\" in\n"
      "$TRAINYARD_CONFIG or ~/.config/trainyard/config.yaml, else "
      "127.0.0.1:7070.\nTLS and token come the same way: --tls-ca, "
      "TRAINYARD_TLS_CA, \"tls_ca:\" and so on;\nTRAINYARD_TOKEN holds a token "
      "itself. NO_COLOR turns colours off.\n\n",
      ExitCodeHelp());
}

void AddGlobalOptions(CLI::App& app, GlobalOptions* options) {
  Settings& set = options->settings.set;
  app.add_option("--server", set.server, "Server")->type_name("HOST:PORT");
  app.add_option("--context", options->settings.context,
                 "Which server of the config file's contexts")
      ->type_name("NAME");
  app.add_option("--tls-ca", set.security.tls_ca,
                 "PEM file of the CA of the server's certificate, or system")
      ->type_name("FILE");
  app.add_option("--tls-cert", set.security.tls_cert,
                 "PEM certificate to show to the server")
      ->type_name("FILE");
  app.add_option("--tls-key", set.security.tls_key, "Its private key")
      ->type_name("FILE");
  app.add_option("--tls-server-name", set.security.tls_server_name,
                 "Name in the server's certificate, where --server has another")
      ->type_name("NAME");
  app.add_option("--token-file", set.security.token_file,
                 "File that holds a token")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--output",
         [options](const std::string& text) {
           if (text == "json") {
             options->format = OutputFormat::kJson;
           } else if (text == "yaml") {
             options->format = OutputFormat::kYaml;
           } else if (text != "table") {
             throw CLI::ValidationError("--output",
                                        text + ": must be table, json or yaml");
           }
         },
         "table, json or yaml")
      ->type_name("FORMAT");
}

// The first word that should have been a command; empty: none.
std::string UnknownCommand(const CLI::App& app,
                           const std::vector<std::string>& arguments) {
  if (!app.get_subcommands().empty() || arguments.empty()) return "";
  const std::string& first = arguments[0];
  return absl::StartsWith(first, "-") ? "" : first;
}

// "; did you mean \"submit\"?" for a mistyped command or flag.
std::string Suggestion(const CLI::App& app,
                       const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  const CLI::App* chosen = &app;
  for (const CLI::App* below : app.get_subcommands()) chosen = below;
  const auto any_app = [](const CLI::App*) { return true; };
  const auto any_option = [](const CLI::Option*) { return true; };
  for (const CLI::App* below : chosen->get_subcommands(any_app)) {
    names.push_back(below->get_name());
  }
  for (const CLI::App* one : {chosen, &app}) {
    for (const CLI::Option* option : one->get_options(any_option)) {
      for (const std::string& name : option->get_lnames()) {
        names.push_back("--" + name);
      }
    }
  }
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    const bool known =
        word == chosen->get_name() ||
        std::find(names.begin(), names.end(), word) != names.end();
    if (known) continue;
    const std::string nearest = NearestName(word, names);
    // Flags are mistaken for flags, commands for commands.
    if (!nearest.empty() &&
        absl::StartsWith(word, "-") == absl::StartsWith(nearest, "-")) {
      return absl::StrCat("; did you mean \"", nearest, "\"?");
    }
  }
  return "";
}

// CLI11's "--limit: 1 required INT missing" in our words.
std::string UsageText(const CLI::ParseError& error) {
  const std::string text = Printable(error.what());
  const size_t at = text.find(": 1 required ");
  if (at == std::string::npos || !absl::EndsWith(text, " missing")) return text;
  return absl::StrCat(text.substr(0, at), ": has no value: give it one");
}

int ReportUsage(const CLI::App& app, const CLI::ParseError& error,
                const std::vector<std::string>& arguments,
                const Console& console) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    return app.exit(error, *console.out, *console.err);  // --help
  }
  std::string command = "trainctl";
  for (const CLI::App* chosen = &app; !chosen->get_subcommands().empty();) {
    chosen = chosen->get_subcommands().front();
    absl::StrAppend(&command, " ", chosen->get_name());
  }
  const std::string unknown = UnknownCommand(app, arguments);
  *console.err << "trainctl: "
               << (unknown.empty() ? UsageText(error)
                                   : absl::StrCat("\"", Printable(unknown),
                                                  "\" is no command"))
               << Suggestion(app, arguments) << "\nSee: " << command
               << " --help\n";
  return kBadInput;
}

int ReportError(const absl::Status& status, const Settings& settings,
                const Console& console) {
  const ExitCode code = ExitCodeOf(status);
  *console.err << "trainctl: ";
  if (code == kUnreachable) {
    *console.err << "server " << settings.server << " cannot be reached: "
                 << Printable(
                        ExplainConnectionError(std::string(status.message())))
                 << "\nIs trainyard-server running there? Choose another with "
                    "--server or TRAINYARD_SERVER.\n";
  } else if (status.message().empty()) {
    *console.err << absl::StatusCodeToString(status.code()) << "\n";
  } else {
    *console.err << Printable(status.message()) << "\n";
  }
  return code;
}

int RunCommand(const CLI::App& app, const GlobalOptions& options,
               const CommandRun& run, Console console) {
  const absl::StatusOr<Settings> settings =
      ReadSettings(console, options.settings);
  if (!settings.ok()) return ReportError(settings.status(), {}, console);
  client::ClientOptions client_options;
  client_options.server = settings->server;
  client_options.security = settings->security;
  client::Client client(client_options);
  Context context{console, options.format, settings->server, client, app};
  const absl::StatusOr<ExitCode> code = run(context);
  console.out->flush();
  if (!code.ok()) return ReportError(code.status(), *settings, console);
  if (!console.out->good()) {
    *console.err << "trainctl: standard output cannot be written\n";
    return kRefused;
  }
  return *code;
}

}  // namespace

int RunApp(absl::Span<const Command> commands,
           std::vector<std::string> arguments, const Console& console) {
  CLI::App app("Submit and follow jobs on a Trainyard server.", "trainctl");
  GlobalOptions options;
  AddGlobalOptions(app, &options);
  app.set_version_flag("--version", "trainctl " TRAINYARD_VERSION,
                       "Print the version; the command version tells the "
                       "server's too");
  app.fallthrough();
  app.require_subcommand(1);
  app.footer(Footer());
  std::vector<std::pair<CLI::App*, CommandRun>> runs;
  for (const Command& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->footer(
        "\n--server and --output go with every command; trainctl --help "
        "explains "
        "them\nand the exit status.");
    runs.emplace_back(sub, command.add(*sub));
  }
  try {
    // CLI11 takes a vector from its end.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return ReportUsage(app, error, arguments, console);
  }
  for (const auto& [sub, run] : runs) {
    if (sub->parsed()) return RunCommand(app, options, run, console);
  }
  return kBadInput;
}

}  // namespace trainyard::trainctl
