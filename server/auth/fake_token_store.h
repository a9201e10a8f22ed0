// Tokens in memory, for tests.
#pragma once

#include <map>

#include "absl/synchronization/mutex.h"
#include "server/auth/token_store.h"

namespace trainyard::auth {

class FakeTokenStore : public TokenStore {
 public:
  absl::StatusOr<std::vector<Token>> Load() override {
    absl::MutexLock lock(&mutex_);
    std::vector<Token> all;
    for (const auto& [id, token] : tokens_) all.push_back(token);
    return all;
  }
  absl::Status Put(const std::vector<Token>& tokens) override {
    absl::MutexLock lock(&mutex_);
    if (!fault.ok()) return fault;
    for (const Token& token : tokens) tokens_[token.id] = token;
    return absl::OkStatus();
  }
  absl::Status Remove(const std::vector<std::string>& ids) override {
    absl::MutexLock lock(&mutex_);
    for (const std::string& id : ids) tokens_.erase(id);
    return absl::OkStatus();
  }

  absl::Status fault;  // of every Put; set it before others use the store

 private:
  absl::Mutex mutex_;
  std::map<std::string, Token> tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::auth
