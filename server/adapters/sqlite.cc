#include "server/adapters/sqlite.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::adapters {
namespace {

// How long another connection's lock is waited for.
constexpr int kBusyMillis = 10000;

absl::Status ToStatus(sqlite3* db, int code) {
  const std::string message = absl::StrCat(
      "SQLite: ", db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db),
      " (", db == nullptr ? code : sqlite3_extended_errcode(db), ")");
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(
          message, ": the disk of the state folder is full; free some space"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

int64_t ToMicros(absl::Time time) {
  if (time == absl::InfiniteFuture())
    return std::numeric_limits<int64_t>::max();
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  return absl::ToUnixMicros(time);
}

absl::Time FromMicros(int64_t micros) {
  if (micros == std::numeric_limits<int64_t>::max())
    return absl::InfiniteFuture();
  if (micros == std::numeric_limits<int64_t>::min())
    return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

void Statement::BindInt(int parameter, int64_t value) {
  sqlite3_bind_int64(handle_, parameter, value);
}

void Statement::BindNull(int parameter) {
  sqlite3_bind_null(handle_, parameter);
}

// An empty view may have no address, which SQLite would store as NULL.
void Statement::BindText(int parameter, absl::string_view text) {
  sqlite3_bind_text64(handle_, parameter, text.empty() ? "" : text.data(),
                      text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::BindBlob(int parameter, absl::string_view bytes) {
  sqlite3_bind_blob64(handle_, parameter, bytes.empty() ? "" : bytes.data(),
                      bytes.size(), SQLITE_STATIC);
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ToStatus(db_, code);
}

absl::Status Statement::Run() {
  const int code = sqlite3_step(handle_);
  absl::Status status;
  if (code != SQLITE_DONE && code != SQLITE_ROW) status = ToStatus(db_, code);
  sqlite3_reset(handle_);
  return status;
}

void Statement::Reset() {
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

absl::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  return data == nullptr
             ? absl::string_view()
             : absl::string_view(static_cast<const char*>(data), size);
}

std::optional<absl::Time> Statement::OptionalTime(int column) const {
  if (IsNull(column)) return std::nullopt;
  return Time(column);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const std::string& path, const DatabaseOptions& options) {
  sqlite3* handle = nullptr;
  const int flags =
      (options.read_only ? SQLITE_OPEN_READONLY
                         : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  if (code != SQLITE_OK) {
    absl::Status status = WithContext(ToStatus(handle, code), path);
    sqlite3_close_v2(handle);
    return status;
  }
  auto db = std::unique_ptr<Database>(new Database(handle));
  sqlite3_busy_timeout(handle, kBusyMillis);
  std::string setup =
      absl::StrCat("PRAGMA cache_size=-", options.cache_kib,
                   "; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;");
  if (!options.read_only) {
    absl::StrAppend(&setup, "PRAGMA journal_mode=WAL; PRAGMA synchronous=",
                    options.durable ? "FULL" : "NORMAL",
                    "; PRAGMA wal_autocheckpoint=", options.checkpoint_pages,
                    "; PRAGMA journal_size_limit=67108864;");
  }
  if (absl::Status status = db->Execute(setup); !status.ok()) {
    return WithContext(status, path);
  }
  return db;
}

Database::~Database() {
  statements_.clear();
  sqlite3_close_v2(handle_);
}

absl::Status Database::Execute(const std::string& sql) {
  const int code =
      sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ToStatus(handle_, code);
}

absl::StatusOr<Statement*> Database::Prepare(absl::string_view sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second.get();
  ASSIGN_OR_RETURN(std::unique_ptr<Statement> statement, PrepareOnce(sql));
  return statements_.emplace(std::string(sql), std::move(statement))
      .first->second.get();
}

absl::StatusOr<std::unique_ptr<Statement>> Database::PrepareOnce(
    absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return ToStatus(handle_, code);
  return std::make_unique<Statement>(handle_, statement);
}

absl::StatusOr<int64_t> Database::QueryInt(absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement * statement, Prepare(sql));
  Statement::Use use(statement);
  ASSIGN_OR_RETURN(const bool found, statement->Step());
  if (!found) return absl::InternalError(absl::StrCat("no row: ", sql));
  return statement->Int(0);
}

namespace {

// Parsed once: there is a transaction for every commit and most reads.
absl::Status RunPrepared(Database* db, absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement * statement, db->Prepare(sql));
  return statement->Run();
}

}  // namespace

Transaction::Transaction(Database* db, bool write) : db_(db) {
  status_ = RunPrepared(db_, write ? "BEGIN IMMEDIATE" : "BEGIN");
  open_ = status_.ok();
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself; a second ROLLBACK is then refused.
  if (open_) RunPrepared(db_, "ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(RunPrepared(db_, "COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

absl::Status Migrate(Database* db, absl::Span<const char* const> steps) {
  Transaction transaction(db);
  RETURN_IF_ERROR(transaction.status());
  RETURN_IF_ERROR(
      db->Execute("CREATE TABLE IF NOT EXISTS migrations("
                  "version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL "
                  "DEFAULT CURRENT_TIMESTAMP)"));
  ASSIGN_OR_RETURN(
      const int64_t version,
      db->QueryInt("SELECT COALESCE(MAX(version), 0) FROM migrations"));
  const auto newest = static_cast<int64_t>(steps.size());
  if (version > newest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "schema version ", version, " is newer than this program's ", newest,
        ": run the trainyard-server that wrote it, or a newer one"));
  }
  for (int64_t step = version; step < newest; ++step) {
    RETURN_IF_ERROR(db->Execute(steps[step]));
    RETURN_IF_ERROR(db->Execute(absl::StrCat(
        "INSERT INTO migrations(version) VALUES(", step + 1, ")")));
  }
  return transaction.Commit();
}

}  // namespace trainyard::adapters
