#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/private_file.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/option_checks.h"
#include "trainyard/v1/auth_service.pb.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string role;
  std::string name;
  std::string worker;
  bool join = false;
  uint32_t uses = 0;
  std::string lifetime;
  std::string out;
  std::string token;
};

absl::StatusOr<v1::Role> ParseRole(const std::string& text) {
  for (const v1::Role role :
       {v1::ROLE_VIEWER, v1::ROLE_SUBMITTER, v1::ROLE_ADMIN, v1::ROLE_WORKER}) {
    if (EnumText(*v1::Role_descriptor(), role) == text) return role;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--role: \"", text, "\": must be viewer, submitter, admin or worker"));
}

// "90d" besides what absl knows.
absl::StatusOr<absl::Duration> ParseLifetime(const std::string& text) {
  absl::Duration lifetime;
  int days = 0;
  if (!text.empty() && text.back() == 'd' &&
      absl::SimpleAtoi(absl::StripSuffix(text, "d"), &days)) {
    lifetime = days * absl::Hours(24);
  } else if (!absl::ParseDuration(text, &lifetime)) {
    lifetime = absl::ZeroDuration();
  }
  if (lifetime >= absl::Seconds(1) && lifetime <= 36500 * absl::Hours(24)) {
    return lifetime;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--lifetime: ", text, ": must be such as 90d, 12h or 30m"));
}

std::string State(const v1::Token& token, absl::Time now) {
  if (token.has_revoke_time()) return "revoked";
  if (token.has_expire_time() && ToTime(token.expire_time()) <= now) {
    return "expired";
  }
  if (!token.join()) return "good";
  return token.uses_left() == 0
             ? "used up"
             : absl::StrCat("good, ", token.uses_left(), " to join");
}

absl::StatusOr<ExitCode> Create(Context& context, const Options& options) {
  v1::CreateTokenRequest request;
  const bool for_worker = options.role.empty() && options.join;
  ASSIGN_OR_RETURN(const v1::Role role,
                   ParseRole(for_worker ? "worker" : options.role));
  request.set_role(role);
  request.set_display_name(options.name);
  request.set_worker(options.worker);
  request.set_join(options.join);
  request.set_uses(options.uses);
  if (!options.lifetime.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration lifetime,
                     ParseLifetime(options.lifetime));
    request.mutable_lifetime()->set_seconds(absl::ToInt64Seconds(lifetime));
  }
  ASSIGN_OR_RETURN(const v1::CreateTokenResponse made,
                   context.client.CreateToken(request));
  if (!options.out.empty()) {
    RETURN_IF_ERROR(WritePrivateFile(options.out, made.text() + "\n"));
    *context.console.err << made.token().name() << " is in "
                         << Printable(options.out) << "\n";
  } else if (context.format == OutputFormat::kTable) {
    *context.console.err << made.token().name()
                         << ": this is its only appearance, keep it safe\n";
    *context.console.out << made.text() << "\n";
  }
  if (context.format != OutputFormat::kTable) {
    Json json = ToJson(made);
    if (!options.out.empty()) json.erase("text");
    *context.console.out << FormatJson(json, context.format);
  }
  return kOk;
}

absl::StatusOr<ExitCode> List(Context& context) {
  v1::ListTokensRequest request;
  request.set_page_size(1000);
  v1::ListTokensResponse list;
  do {
    ASSIGN_OR_RETURN(const v1::ListTokensResponse page,
                     context.client.ListTokens(request));
    list.mutable_tokens()->MergeFrom(page.tokens());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context.format != OutputFormat::kTable) {
    Json json = ToJson(list);
    if (list.tokens().empty()) json["tokens"] = Json::array();
    *context.console.out << FormatJson(json, context.format);
    return kOk;
  }
  Table table(
      {"TOKEN", "ROLE", "STATE", "CREATED", "EXPIRES", "WORKER", "NAME"});
  for (const v1::Token& token : list.tokens()) {
    table.AddRow({{token.name()},
                  {EnumText(*v1::Role_descriptor(), token.role())},
                  {State(token, context.console.clock->Now())},
                  {TimeText(token.create_time(), absl::LocalTimeZone())},
                  {token.has_expire_time()
                       ? TimeText(token.expire_time(), absl::LocalTimeZone())
                       : "never"},
                  {token.worker()},
                  {token.display_name()}});
  }
  *context.console.out << table.Format(PaintsOut(context.console));
  return kOk;
}

absl::StatusOr<ExitCode> Revoke(Context& context, const Options& options) {
  const std::string id(absl::StripPrefix(options.token, "tokens/"));
  ASSIGN_OR_RETURN(const v1::Token token,
                   context.client.RevokeToken(absl::StrCat("tokens/", id)));
  if (context.format != OutputFormat::kTable) {
    *context.console.out << FormatJson(ToJson(token), context.format);
  } else {
    *context.console.out << token.name() << " is revoked\n";
  }
  return kOk;
}

}  // namespace

CommandRun AddTokens(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(1);
  CLI::App* create =
      app.add_subcommand("create", "Make a token; prints it, once");
  create
      ->add_option("--role", options->role,
                   "viewer, submitter, admin or worker")
      ->required();
  create->add_option("--name", options->name, "What it is for");
  create->add_option("--worker", options->worker,
                     "The worker that a worker's token is for");
  create->add_flag("--join", options->join,
                   "With --role worker: a token with which workers get their "
                   "own");
  create
      ->add_option("--uses", options->uses,
                   "How many workers may join by it [1]")
      ->check(WholeNumber(1, UINT32_MAX));
  create->add_option("--lifetime", options->lifetime,
                     "Such as 90d or 12h [until revoked; to join: 1h]");
  create->add_option("--out", options->out,
                     "Write it to a file of its own instead of printing it");
  CLI::App* list = app.add_subcommand("list", "List tokens, without secrets");
  CLI::App* revoke = app.add_subcommand("revoke", "End a token at once");
  revoke->add_option("token", options->token, "Its id, or tokens/ID")
      ->required();
  return [options, create, list](Context& context) {
    if (create->parsed()) return Create(context, *options);
    if (list->parsed()) return List(context);
    return Revoke(context, *options);
  };
}

CommandRun AddWhoAmI(CLI::App&) {
  return [](Context& context) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(const v1::WhoAmIResponse me, context.client.WhoAmI());
    const v1::Token& token = me.token();
    std::ostream& out = *context.console.out;
    if (context.format != OutputFormat::kTable) {
      out << FormatJson(ToJson(me), context.format);
    } else if (!me.has_token()) {
      out << "server " << context.server
          << " needs no token: all may do all there\n";
    } else {
      out << EnumText(*v1::Role_descriptor(), token.role())
          << (token.join() ? " to join" : "")
          << (token.worker().empty() ? "" : " " + token.worker()) << " at "
          << context.server << " by " << token.name()
          << (token.has_expire_time()
                  ? ", until " +
                        TimeText(token.expire_time(), absl::LocalTimeZone())
                  : "")
          << "\n";
    }
    return kOk;
  };
}

}  // namespace trainyard::trainctl
