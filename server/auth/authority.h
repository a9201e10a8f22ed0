// Knows every token: says who a caller is, makes tokens, takes them back. What
// it says is durable before it says so; every change is one line in the log.
//
//   ASSIGN_OR_RETURN(auto authority, Authority::Load(options, &store, clock));
//   ASSIGN_OR_RETURN(Caller caller, authority->Identify("Bearer ty_…"));
//   RETURN_IF_ERROR(CheckRight(caller, method));
//
// Thread-safe. Identify and IsGood are fast; the rest waits for the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/token.h"
#include "server/auth/roles.h"
#include "server/auth/token_store.h"

namespace trainyard::auth {

enum class Mode : uint8_t {
  kOff,   // everyone may do everything
  kOn,    // tokens are needed
  kAuto,  // needed once there is a token
};

struct AuthorityOptions {
  Mode mode = Mode::kAuto;
  size_t max_tokens = 100'000;
  // How long ended tokens are still listed.
  absl::Duration keep_ended = absl::Hours(24 * 30);
};

struct TokenRequest {
  Role role = Role::kViewer;
  std::string display_name;
  std::string worker;
  bool join = false;
  uint32_t uses = 1;        // of a join token
  absl::Duration lifetime;  // InfiniteDuration(): until it is revoked
};

struct NewTokenResult {
  Token token;
  std::string text;  // shown once, kept nowhere
};

class Authority {
 public:
  // Both live longer than the authority.
  static absl::StatusOr<std::unique_ptr<Authority>> Load(
      const AuthorityOptions& options, TokenStore* store, const Clock* clock);
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // Whether calls need a token.
  bool enabled() const;

  // Of the authorization header; empty: none. UNAUTHENTICATED: whether a token
  // is missing, unknown, expired or revoked. Where authentication is off, all
  // are the same caller without a token.
  absl::StatusOr<Caller> Identify(absl::string_view authorization) const;
  // Whether a caller that was identified still is: its token not expired, not
  // revoked. UNAUTHENTICATED.
  absl::Status StillGood(const Caller& caller) const;

  // INVALID_ARGUMENT names the field. FAILED_PRECONDITION: the first token must
  // be an admin's, since from then on there must be one who can make others.
  absl::StatusOr<NewTokenResult> Create(const Caller& by,
                                        const TokenRequest& request);
  // NOT_FOUND. FAILED_PRECONDITION: it is the last admin's. Idempotent.
  absl::StatusOr<Token> Revoke(const Caller& by, const std::string& id);
  // By id; `after` is the last id of the page before.
  std::vector<Token> List(const std::string& after, size_t limit) const;
  // Of the caller's own token; nothing where it has none.
  absl::StatusOr<Token> Describe(const Caller& caller) const;

  // Gives a worker a token of its own for a join token. The worker makes the
  // secret and sends only its hash; the same worker and hash give the same
  // token again. ALREADY_EXISTS: the name has a token already, unless the join
  // token was made for that name, which then takes its place.
  absl::StatusOr<Token> Join(const Caller& by, const std::string& worker,
                             const std::string& secret_hash);

  // Takes in the admin token of a file that trainctl setup wrote, unless it is
  // known already: "ID HASH". INVALID_ARGUMENT.
  absl::Status Bootstrap(absl::string_view text);

 private:
  Authority(const AuthorityOptions& options, TokenStore* store,
            const Clock* clock)
      : options_(options), store_(store), clock_(clock) {}

  // Writes them and knows them from then on.
  absl::Status Keep(const std::vector<Token>& tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes room: forgets what ended long ago. RESOURCE_EXHAUSTED.
  absl::Status Prune() ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckRequest(const TokenRequest& request) const;
  bool Ended(const Token& token) const;
  absl::Status Good(const Token& token) const;
  // Admin tokens that can be used, but for one.
  size_t OtherAdmins(const std::string& id) const ABSL_LOCKS_EXCLUDED(mutex_);

  const AuthorityOptions options_;
  TokenStore* const store_;
  const Clock* const clock_;
  absl::Mutex change_mutex_;  // one change at a time, its disk write included
  mutable absl::Mutex mutex_;
  std::map<std::string, Token> tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::auth
