// Tokens in an SQLite file of their own: durable when Put returns. Hashes only.
//
//   ASSIGN_OR_RETURN(auto tokens, SqliteTokens::Open(folder + "/tokens.db"));
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/adapters/sqlite.h"
#include "server/auth/token_store.h"

namespace trainyard::adapters {

class SqliteTokens : public auth::TokenStore {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteTokens>> Open(
      const std::string& path);

  absl::StatusOr<std::vector<auth::Token>> Load() override;
  absl::Status Put(const std::vector<auth::Token>& tokens) override;
  absl::Status Remove(const std::vector<std::string>& ids) override;

 private:
  explicit SqliteTokens(std::unique_ptr<Database> db) : db_(std::move(db)) {}

  absl::Mutex mutex_;
  const std::unique_ptr<Database> db_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace trainyard::adapters
