// A thin, typed layer over SQLite's C interface: connections, prepared
// statements that are kept, transactions, errors as absl::Status.
//
//   ASSIGN_OR_RETURN(auto db, Database::Open(path, {.durable = true}));
//   ASSIGN_OR_RETURN(Statement* get, db->Prepare("SELECT name FROM jobs WHERE
//   id=?")); Statement::Use use(get); get->BindInt(1, 7);
//   ASSIGN_OR_RETURN(const bool found, get->Step());
//   if (found) name = get->Text(0);
//
// Not thread-safe: one thread at a time per Database.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace trainyard::adapters {

// Times are stored as microseconds since 1970, infinite ones as the ends of
// int64_t.
int64_t ToMicros(absl::Time time);
absl::Time FromMicros(int64_t micros);

// A prepared statement. Parameters count from 1, columns from 0.
class Statement {
 public:
  // Makes the statement ready for its next use when the scope ends.
  class Use {
   public:
    explicit Use(Statement* statement) : statement_(statement) {}
    ~Use() { statement_->Reset(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Statement* const statement_;
  };

  Statement(sqlite3* db, sqlite3_stmt* handle) : db_(db), handle_(handle) {}
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void BindInt(int parameter, int64_t value);
  void BindNull(int parameter);
  void BindTime(int parameter, absl::Time time) {
    BindInt(parameter, ToMicros(time));
  }
  // The bytes must outlive the next Step.
  void BindText(int parameter, absl::string_view text);
  void BindBlob(int parameter, absl::string_view bytes);

  // True: a row is there. False: done.
  absl::StatusOr<bool> Step();
  // Steps to the end and resets.
  absl::Status Run();
  void Reset();

  int64_t Int(int column) const {
    return sqlite3_column_int64(handle_, column);
  }
  bool IsNull(int column) const {
    return sqlite3_column_type(handle_, column) == SQLITE_NULL;
  }
  std::string Text(int column) const { return std::string(Bytes(column)); }
  // Valid until the next Step or Reset.
  absl::string_view Bytes(int column) const;
  absl::Time Time(int column) const { return FromMicros(Int(column)); }
  std::optional<absl::Time> OptionalTime(int column) const;

 private:
  sqlite3* const db_;
  sqlite3_stmt* const handle_;
};

struct DatabaseOptions {
  bool read_only = false;
  // True: synchronous=FULL, on disk when a commit returns. False: NORMAL, the
  // newest commits may be lost with the machine's power, never with the
  // process.
  bool durable = true;
  int64_t cache_kib = 16384;
  int checkpoint_pages = 4096;  // of the write-ahead log before it is folded in
};

class Database {
 public:
  static absl::StatusOr<std::unique_ptr<Database>> Open(
      const std::string& path, const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs statements without parameters.
  absl::Status Execute(const std::string& sql);
  // For statements whose text is fixed: kept, and owned by the database.
  absl::StatusOr<Statement*> Prepare(absl::string_view sql);
  // For statements whose text is built for one use.
  absl::StatusOr<std::unique_ptr<Statement>> PrepareOnce(absl::string_view sql);
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql);
  // Rows that the newest INSERT, UPDATE or DELETE touched.
  int64_t Changes() const { return sqlite3_changes(handle_); }

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}

  sqlite3* const handle_;
  absl::flat_hash_map<std::string, std::unique_ptr<Statement>> statements_;
};

// BEGIN on construction; ROLLBACK unless Commit succeeded.
class Transaction {
 public:
  explicit Transaction(Database* db, bool write = true);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Not OK: the transaction could not begin; do nothing.
  const absl::Status& status() const { return status_; }
  absl::Status Commit();

 private:
  Database* const db_;
  absl::Status status_;
  bool open_ = false;
};

// Brings the schema to the newest version: steps[i] leads from version i to
// i + 1. FAILED_PRECONDITION when the file is newer than this program.
absl::Status Migrate(Database* db, absl::Span<const char* const> steps);

}  // namespace trainyard::adapters
