#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "client/trainctl/security_files.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string folder;
  std::vector<std::string> hosts;
  int days = 365;
  bool force = false;
};

absl::StatusOr<std::string> DefaultFolder(const Console& console) {
  if (const auto xdg = console.environment("XDG_CONFIG_HOME")) {
    return absl::StrCat(*xdg, "/trainyard/security");
  }
  if (const auto home = console.environment("HOME")) {
    return absl::StrCat(*home, "/.config/trainyard/security");
  }
  return absl::InvalidArgumentError(
      "--dir: not set, and neither XDG_CONFIG_HOME nor HOME says where it "
      "should be");
}

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return absl::AsciiStrToLower(name);
}

// What to do with the files, ready to be pasted.
std::string NextCommands(const std::string& folder, const std::string& host) {
  const std::string in = Printable(folder);
  return absl::StrCat(
      "\nServer:\n"
      "  trainyard-server --listen 0.0.0.0:7070 \\\n"
      "    --tls-cert ",
      in, "/server.crt --tls-key ", in,
      "/server.key \\\n"
      "    --tls-client-ca ",
      in,
      "/ca.crt \\\n"
      "    --bootstrap-token-hash-file ",
      in,
      "/bootstrap-token.hash\n"
      "\nYou, on this machine:\n"
      "  export TRAINYARD_SERVER=",
      host, ":7070 TRAINYARD_TLS_CA=", in,
      "/ca.crt \\\n"
      "    TRAINYARD_TLS_CERT=",
      in, "/client.crt TRAINYARD_TLS_KEY=", in,
      "/client.key \\\n"
      "    TRAINYARD_TOKEN_FILE=",
      in,
      "/admin.token\n"
      "  trainctl whoami\n"
      "\nWorker (copy ca.crt, worker.crt and worker.key there, and a join "
      "token):\n"
      "  trainctl tokens create --role worker --join --out join.token\n"
      "  trainyard-worker --server ",
      host,
      ":7070 --tls-ca ca.crt \\\n"
      "    --tls-cert worker.crt --tls-key worker.key --token-file "
      "join.token\n");
}

absl::StatusOr<ExitCode> Run(Context& context, Options options) {
  if (options.folder.empty()) {
    ASSIGN_OR_RETURN(options.folder, DefaultFolder(context.console));
  }
  SecurityRequest request;
  request.folder =
      std::filesystem::absolute(options.folder).lexically_normal().string();
  request.hosts = options.hosts;
  if (options.force && request.hosts.empty()) {
    return absl::InvalidArgumentError(
        "--force: needs --host, each name that the new server certificate is "
        "to have; workers and clients that dial another one are refused");
  }
  if (request.hosts.empty()) request.hosts.push_back(HostName());
  request.lifetime = options.days * absl::Hours(24);
  request.renew = options.force;
  request.now = context.console.clock->Now();
  ASSIGN_OR_RETURN(const SecurityFiles files, MakeSecurityFiles(request));
  std::ostream& out = *context.console.out;
  if (context.format != OutputFormat::kTable) {
    out << FormatJson(Json{{"folder", request.folder},
                           {"made", files.made},
                           {"kept", files.kept}},
                      context.format);
    return kOk;
  }
  if (!files.made.empty()) {
    out << "made in " << Printable(request.folder) << ": "
        << absl::StrJoin(files.made, ", ") << "\n";
  }
  if (!files.kept.empty()) {
    out << "there already, kept: " << absl::StrJoin(files.kept, ", ") << "\n";
  }
  out << NextCommands(request.folder, Printable(request.hosts[0]));
  return kOk;
}

}  // namespace

CommandRun AddSetup(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--dir", options->folder,
                 "Folder for the files [~/.config/trainyard/security]");
  app.add_option("--host", options->hosts,
                 "Name or address by which the server is reached; repeat "
                 "[this machine's name]")
      ->take_all();
  app.add_option("--days", options->days, "How long certificates last")
      ->check(WholeNumber(1, 3650))
      ->capture_default_str();
  app.add_flag("--force", options->force,
               "Make the certificates anew, by the CA that is there, for the "
               "names of --host; CA and token stay");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
