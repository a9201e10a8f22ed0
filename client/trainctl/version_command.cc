#include "base/status_macros.h"
#include "client/trainctl/command.h"

namespace trainyard::trainctl {

CommandRun AddVersion(CLI::App&) {
  return [](Context& context) -> absl::StatusOr<ExitCode> {
    const auto server = context.client.GetServer();
    // A server that does not know the call yet still answered.
    const bool older = absl::IsUnimplemented(server.status());
    const std::string version = server.ok() ? server->version() : "";
    if (context.format == OutputFormat::kTable) {
      *context.console.out << "trainctl " << TRAINYARD_VERSION << "\n";
      if (server.ok() || older) {
        *context.console.out
            << "server   "
            << (older ? "older than this trainctl" : Printable(version))
            << " at " << context.server << "\n";
      }
      context.console.out->flush();
    } else {
      Json json{{"client", TRAINYARD_VERSION}};
      if (server.ok()) json["server"] = version;
      *context.console.out << FormatJson(json, context.format);
    }
    if (!server.ok() && !older) return server.status();
    return kOk;
  };
}

}  // namespace trainyard::trainctl
