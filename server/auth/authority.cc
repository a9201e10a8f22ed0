#include "server/auth/authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace trainyard::auth {
namespace {

constexpr size_t kMaxAuthorization = 256;
constexpr size_t kMaxDisplayName = 255;
constexpr size_t kMaxWorkerName = 63;
constexpr uint32_t kMaxUses = 10'000;
constexpr absl::Duration kShortestLifetime = absl::Seconds(1);
constexpr absl::Duration kLongestJoin = absl::Hours(24 * 7);

bool IsWorkerName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxWorkerName &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
             absl::string_view::npos;
}

absl::Status WrongWorker(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(
      "worker: \"", absl::CHexEscape(name.substr(0, kMaxWorkerName + 1)),
      "\": must be 1 to 63 lower-case letters, digits or '-'"));
}

std::string Who(const Caller& caller) {
  return caller.token_id.empty() ? "nobody in particular"
                                 : absl::StrCat("token ", caller.token_id);
}

// The line of the audit.
void Note(absl::string_view what, const Token& token, const Caller& by) {
  spdlog::info("audit: token {} {} by {}: role {}{}{}, \"{}\"", token.id,
               std::string(what), Who(by), std::string(NameOf(token.role)),
               token.join ? ", to join" : "",
               token.worker.empty() ? "" : " as worker " + token.worker,
               absl::CHexEscape(token.display_name));
}

std::string Shown(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::Status UnknownToken() {
  return absl::UnauthenticatedError(
      "the token is not known to this server: ask an admin for one");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Authority>> Authority::Load(
    const AuthorityOptions& options, TokenStore* store, const Clock* clock) {
  auto authority =
      std::unique_ptr<Authority>(new Authority(options, store, clock));
  ASSIGN_OR_RETURN(std::vector<Token> tokens, store->Load());
  absl::MutexLock lock(&authority->mutex_);
  for (Token& token : tokens) {
    const std::string id = token.id;
    authority->tokens_.emplace(id, std::move(token));
  }
  return authority;
}

bool Authority::enabled() const {
  if (options_.mode != Mode::kAuto) return options_.mode == Mode::kOn;
  absl::MutexLock lock(&mutex_);
  return !tokens_.empty();
}

bool Authority::Ended(const Token& token) const {
  const absl::Time now = clock_->Now();
  return now >= token.expire_time || now >= token.revoke_time ||
         (token.join && token.uses_left == 0);
}

absl::Status Authority::Good(const Token& token) const {
  const absl::Time now = clock_->Now();
  if (now >= token.revoke_time) {
    return absl::UnauthenticatedError(absl::StrCat(
        "token ", token.id, " was revoked at ", Shown(token.revoke_time)));
  }
  if (now >= token.expire_time) {
    return absl::UnauthenticatedError(absl::StrCat(
        "token ", token.id, " expired at ", Shown(token.expire_time)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Caller> Authority::Identify(
    absl::string_view authorization) const {
  if (!enabled()) {
    Caller anyone;
    anyone.role = Role::kAdmin;
    // A join token says who may join also where nothing else needs one.
    if (!absl::StrContains(authorization, "tyj_")) return anyone;
  }
  if (authorization.empty()) {
    return absl::UnauthenticatedError(
        "no token was sent, and this server needs one: give --token-file or "
        "TRAINYARD_TOKEN");
  }
  if (authorization.size() > kMaxAuthorization ||
      !absl::ConsumePrefix(&authorization, "Bearer ")) {
    return absl::UnauthenticatedError(
        "authorization: must be \"Bearer \" and a token");
  }
  const absl::StatusOr<TokenText> text = ParseToken(authorization);
  if (!text.ok()) return UnknownToken();
  const std::string hash = HashSecret(text->secret);
  absl::MutexLock lock(&mutex_);
  const auto found = tokens_.find(text->id);
  // Who does not know the secret learns nothing about the token.
  if (found == tokens_.end() || !SameHash(found->second.secret_hash, hash)) {
    return UnknownToken();
  }
  const Token& token = found->second;
  RETURN_IF_ERROR(Good(token));
  return Caller{token.id, token.role, token.worker, token.join,
                token.display_name.empty() ? token.id : token.display_name};
}

absl::Status Authority::StillGood(const Caller& caller) const {
  if (caller.token_id.empty()) {
    if (!enabled()) return absl::OkStatus();
    return absl::UnauthenticatedError(
        "this server needs a token now: give --token-file or TRAINYARD_TOKEN");
  }
  absl::MutexLock lock(&mutex_);
  const auto found = tokens_.find(caller.token_id);
  return found == tokens_.end() ? UnknownToken() : Good(found->second);
}

absl::Status Authority::CheckRequest(const TokenRequest& request) const {
  if (request.display_name.size() > kMaxDisplayName) {
    return absl::InvalidArgumentError(absl::StrCat(
        "display_name: must be at most ", kMaxDisplayName, " bytes"));
  }
  for (const char c : request.display_name) {
    if (!absl::ascii_iscntrl(static_cast<unsigned char>(c))) continue;
    return absl::InvalidArgumentError(
        "display_name: must have no control characters");
  }
  if (request.lifetime < kShortestLifetime) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lifetime: ", absl::FormatDuration(request.lifetime),
        ": must be at least ", absl::FormatDuration(kShortestLifetime)));
  }
  const bool worker = request.role == Role::kWorker;
  if (!request.worker.empty() && !IsWorkerName(request.worker)) {
    return WrongWorker(request.worker);
  }
  if (!worker && (request.join || !request.worker.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.join ? "join" : "worker",
                     ": is for role worker only, not ", NameOf(request.role)));
  }
  if (worker && !request.join && request.worker.empty()) {
    return absl::InvalidArgumentError(
        "worker: not set: a worker's token is for one worker, so it must be "
        "its name; or make a join token, which any worker can use");
  }
  if (!request.join) return absl::OkStatus();
  if (request.uses < 1 || request.uses > kMaxUses) {
    return absl::InvalidArgumentError(
        absl::StrCat("uses: ", request.uses, ": must be 1 to ", kMaxUses));
  }
  if (request.lifetime > kLongestJoin) {
    return absl::InvalidArgumentError(
        absl::StrCat("lifetime: ", absl::FormatDuration(request.lifetime),
                     ": must be at most ", absl::FormatDuration(kLongestJoin),
                     " for a join token"));
  }
  return absl::OkStatus();
}

absl::Status Authority::Prune() {
  const absl::Time now = clock_->Now();
  std::vector<std::string> old;
  size_t kept = 0;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, token] : tokens_) {
      const absl::Time end = std::min(token.expire_time, token.revoke_time);
      if (end < now - options_.keep_ended) old.push_back(id);
    }
    // The last one stays: without any, all would be open again.
    if (old.size() == tokens_.size() && !old.empty()) old.pop_back();
    kept = tokens_.size() - old.size();
  }
  if (kept >= options_.max_tokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", kept,
                     " tokens, the most this server keeps: ended ones "
                     "leave after ",
                     absl::FormatDuration(options_.keep_ended)));
  }
  if (old.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(store_->Remove(old));
  absl::MutexLock lock(&mutex_);
  for (const std::string& id : old) tokens_.erase(id);
  return absl::OkStatus();
}

absl::Status Authority::Keep(const std::vector<Token>& tokens) {
  RETURN_IF_ERROR(store_->Put(tokens));
  absl::MutexLock lock(&mutex_);
  for (const Token& token : tokens) tokens_[token.id] = token;
  return absl::OkStatus();
}

size_t Authority::OtherAdmins(const std::string& id) const {
  absl::MutexLock lock(&mutex_);
  return static_cast<size_t>(
      std::count_if(tokens_.begin(), tokens_.end(), [&](const auto& entry) {
        return entry.first != id && entry.second.role == Role::kAdmin &&
               !Ended(entry.second);
      }));
}

absl::StatusOr<NewTokenResult> Authority::Create(const Caller& by,
                                                 const TokenRequest& request) {
  RETURN_IF_ERROR(CheckRequest(request));
  absl::MutexLock change(&change_mutex_);
  RETURN_IF_ERROR(Prune());
  if (options_.mode != Mode::kOff && request.role != Role::kAdmin &&
      OtherAdmins("") == 0) {
    return absl::FailedPreconditionError(
        "role: the first token must be an admin's: once there is a token, "
        "calls need one, and only an admin can make others");
  }
  const TokenText text = NewToken(request.join);
  NewTokenResult made;
  made.text = text.ToString();
  Token& token = made.token;
  token.id = text.id;
  token.secret_hash = HashSecret(text.secret);
  token.role = request.role;
  token.display_name = request.display_name;
  token.worker = request.worker;
  token.join = request.join;
  token.uses_left = request.join ? request.uses : 0;
  token.creator = by.token_id;
  token.create_time = clock_->Now();
  token.expire_time = token.create_time + request.lifetime;
  RETURN_IF_ERROR(Keep({token}));
  Note("created", token, by);
  return made;
}

absl::StatusOr<Token> Authority::Revoke(const Caller& by,
                                        const std::string& id) {
  absl::MutexLock change(&change_mutex_);
  Token token;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = tokens_.find(id);
    if (found == tokens_.end()) {
      return absl::NotFoundError(absl::StrCat(
          "token \"", absl::CHexEscape(absl::string_view(id).substr(0, 64)),
          "\" is not known to this server"));
    }
    token = found->second;
  }
  if (token.revoke_time <= clock_->Now()) return token;
  if (options_.mode != Mode::kOff && token.role == Role::kAdmin &&
      !Ended(token) && OtherAdmins(id) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("token ", id,
                     " is the last admin's: make another first, or nobody "
                     "could make tokens any more"));
  }
  token.revoke_time = clock_->Now();
  RETURN_IF_ERROR(Keep({token}));
  Note("revoked", token, by);
  return token;
}

std::vector<Token> Authority::List(const std::string& after,
                                   size_t limit) const {
  std::vector<Token> page;
  absl::MutexLock lock(&mutex_);
  for (auto it = tokens_.upper_bound(after);
       it != tokens_.end() && page.size() < limit; ++it) {
    page.push_back(it->second);
  }
  return page;
}

absl::StatusOr<Token> Authority::Describe(const Caller& caller) const {
  absl::MutexLock lock(&mutex_);
  const auto found = tokens_.find(caller.token_id);
  if (found == tokens_.end()) return UnknownToken();
  return found->second;
}

absl::StatusOr<Token> Authority::Join(const Caller& by,
                                      const std::string& worker,
                                      const std::string& secret_hash) {
  if (!IsWorkerName(worker)) return WrongWorker(worker);
  if (!IsSecretHash(secret_hash)) {
    return absl::InvalidArgumentError(
        "secret_hash: must be the SHA-256 of the worker's secret, 64 "
        "lower-case hex digits");
  }
  absl::MutexLock change(&change_mutex_);
  RETURN_IF_ERROR(Prune());
  std::vector<Token> changed;
  Token join;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = tokens_.find(by.token_id);
    if (found == tokens_.end()) return UnknownToken();
    join = found->second;
    RETURN_IF_ERROR(Good(join));
    if (!join.worker.empty() && join.worker != worker) {
      return absl::PermissionDeniedError(
          absl::StrCat("worker: \"", worker, "\": the join token ", join.id,
                       " is for worker \"", join.worker, "\""));
    }
    for (const auto& [id, token] : tokens_) {
      if (token.role != Role::kWorker || token.join || token.worker != worker ||
          Ended(token)) {
        continue;
      }
      // The reply to an earlier try was lost.
      if (SameHash(token.secret_hash, secret_hash)) return token;
      if (join.worker.empty()) {
        return absl::AlreadyExistsError(absl::StrCat(
            "worker: \"", worker, "\" has token ", id,
            " already: revoke that one, or make a join token for this worker "
            "by name, or give the worker another --name"));
      }
      changed.push_back(token);
      changed.back().revoke_time = clock_->Now();
    }
  }
  if (join.uses_left == 0) {
    return absl::UnauthenticatedError(
        absl::StrCat("join token ", join.id, " is used up"));
  }
  --join.uses_left;
  Token token;
  token.id = NewToken(false).id;
  token.secret_hash = secret_hash;
  token.role = Role::kWorker;
  token.display_name = absl::StrCat("joined by ", join.id);
  token.worker = worker;
  token.creator = join.id;
  token.create_time = clock_->Now();
  changed.push_back(join);
  changed.push_back(token);
  RETURN_IF_ERROR(Keep(changed));
  Note("created", token, by);
  return token;
}

absl::Status Authority::Bootstrap(absl::string_view text) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
  if (words.size() != 2 || !IsTokenId(words[0]) || !IsSecretHash(words[1])) {
    return absl::InvalidArgumentError(
        "must hold a token's id and the hash of its secret, as trainctl setup "
        "writes it");
  }
  absl::MutexLock change(&change_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (tokens_.contains(words[0])) return absl::OkStatus();
  }
  RETURN_IF_ERROR(Prune());
  Token token;
  token.id = words[0];
  token.secret_hash = words[1];
  token.role = Role::kAdmin;
  token.display_name = "from trainctl setup";
  token.create_time = clock_->Now();
  RETURN_IF_ERROR(Keep({token}));
  Note("taken from the bootstrap file", token, Caller());
  return absl::OkStatus();
}

}  // namespace trainyard::auth
