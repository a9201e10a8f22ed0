#include "server/adapters/sqlite_tokens.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::adapters {
namespace {

constexpr const char* kSchema[] = {
    R"(
CREATE TABLE tokens(
  id TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, role INTEGER NOT NULL,
  display_name TEXT NOT NULL, worker TEXT NOT NULL, is_join INTEGER NOT NULL,
  uses_left INTEGER NOT NULL, creator TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL)
  WITHOUT ROWID;
)",
};

absl::StatusOr<auth::Token> ReadRow(const Statement& row) {
  auth::Token token;
  token.id = row.Text(0);
  token.secret_hash = row.Text(1);
  const int64_t role = row.Int(2);
  // Never a guess about what someone may do.
  if (role < static_cast<int64_t>(auth::Role::kViewer) ||
      role > static_cast<int64_t>(auth::Role::kWorker)) {
    return absl::DataLossError(
        absl::StrCat("token ", token.id, " has the unknown role ", role));
  }
  token.role = static_cast<auth::Role>(role);
  token.display_name = row.Text(3);
  token.worker = row.Text(4);
  token.join = row.Int(5) != 0;
  token.uses_left = static_cast<uint32_t>(row.Int(6));
  token.creator = row.Text(7);
  token.create_time = row.Time(8);
  token.expire_time = row.Time(9);
  token.revoke_time = row.Time(10);
  return token;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteTokens>> SqliteTokens::Open(
    const std::string& path) {
  DatabaseOptions options;
  options.cache_kib = 1024;
  ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Database::Open(path, options));
  if (absl::Status status = Migrate(db.get(), kSchema); !status.ok()) {
    return WithContext(status, path);
  }
  return std::unique_ptr<SqliteTokens>(new SqliteTokens(std::move(db)));
}

absl::StatusOr<std::vector<auth::Token>> SqliteTokens::Load() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(
      Statement * select,
      db_->Prepare("SELECT id,secret_hash,role,display_name,worker,is_join,"
                   "uses_left,creator,created,expires,revoked FROM tokens"));
  Statement::Use use(select);
  std::vector<auth::Token> tokens;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return tokens;
    ASSIGN_OR_RETURN(auth::Token token, ReadRow(*select));
    tokens.push_back(std::move(token));
  }
}

absl::Status SqliteTokens::Put(const std::vector<auth::Token>& tokens) {
  absl::MutexLock lock(&mutex_);
  Transaction transaction(db_.get());
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(
      Statement * insert,
      db_->Prepare("INSERT OR REPLACE INTO tokens(id,secret_hash,role,"
                   "display_name,worker,is_join,uses_left,creator,created,"
                   "expires,revoked) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
                   "?11)"));
  for (const auth::Token& token : tokens) {
    insert->BindText(1, token.id);
    insert->BindText(2, token.secret_hash);
    insert->BindInt(3, static_cast<int64_t>(token.role));
    insert->BindText(4, token.display_name);
    insert->BindText(5, token.worker);
    insert->BindInt(6, token.join ? 1 : 0);
    insert->BindInt(7, token.uses_left);
    insert->BindText(8, token.creator);
    insert->BindTime(9, token.create_time);
    insert->BindTime(10, token.expire_time);
    insert->BindTime(11, token.revoke_time);
    RETURN_IF_ERROR(insert->Run());
  }
  return transaction.Commit();
}

absl::Status SqliteTokens::Remove(const std::vector<std::string>& ids) {
  absl::MutexLock lock(&mutex_);
  Transaction transaction(db_.get());
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(Statement * erase,
                   db_->Prepare("DELETE FROM tokens WHERE id=?1"));
  for (const std::string& id : ids) {
    erase->BindText(1, id);
    RETURN_IF_ERROR(erase->Run());
  }
  return transaction.Commit();
}

}  // namespace trainyard::adapters
