#include "server/adapters/sqlite_store.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/adapters/job_rows.h"
#include "server/adapters/job_schema.h"
#include "server/adapters/queue_rows.h"

namespace trainyard::adapters {
namespace {

constexpr int64_t kWriterCacheKib = 64 * 1024;

uint64_t HashOf(const std::string& request_id) {
  return absl::HashOf(request_id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(
    const std::string& path, SqliteStoreOptions options) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<Database> writer,
      Database::Open(path, {.durable = true, .cache_kib = kWriterCacheKib}));
  if (absl::Status status = Migrate(writer.get(), JobSchema()); !status.ok()) {
    return WithContext(status, path);
  }
  if (options.max_pages > 0) {
    RETURN_IF_ERROR(writer->Execute(
        absl::StrCat("PRAGMA max_page_count=", options.max_pages)));
  }
  auto store = std::unique_ptr<SqliteStore>(new SqliteStore(std::move(writer)));
  RETURN_IF_ERROR(store->readers_.Open(path, options.readers));
  return store;
}

absl::StatusOr<engine::Snapshot> SqliteStore::Load() {
  Transaction transaction(writer_.get(), /*write=*/false);
  RETURN_IF_ERROR(transaction.status());
  RETURN_IF_ERROR(LoadRequests());
  engine::Snapshot snapshot;
  ASSIGN_OR_RETURN(
      const int64_t revision,
      writer_->QueryInt("SELECT MAX("
                        "(SELECT COALESCE(MAX(revision),0) FROM jobs),"
                        "(SELECT COALESCE(MAX(revision),0) FROM drains),"
                        "(SELECT COALESCE(MAX(revision),0) FROM queues))"));
  snapshot.revision = static_cast<core::Revision>(revision);
  ASSIGN_OR_RETURN(const int64_t last_job,
                   writer_->QueryInt("SELECT COALESCE(MAX(id),0) FROM jobs"));
  snapshot.last_job = core::JobId(static_cast<uint64_t>(last_job));
  ASSIGN_OR_RETURN(snapshot.jobs, ReadLiveJobs(writer_.get()));
  ASSIGN_OR_RETURN(snapshot.queues, ReadQueues(writer_.get()));
  ASSIGN_OR_RETURN(snapshot.past, ReadPastUsage(writer_.get()));
  ASSIGN_OR_RETURN(
      Statement * drains,
      writer_->Prepare("SELECT worker FROM drains WHERE draining=1"));
  Statement::Use use(drains);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, drains->Step());
    if (!found) return snapshot;
    snapshot.draining.emplace_back(drains->Text(0));
  }
}

absl::Status SqliteStore::LoadRequests() {
  requests_.clear();
  collisions_.clear();
  ASSIGN_OR_RETURN(
      Statement * select,
      writer_->Prepare("SELECT job,request_id FROM requests ORDER BY job"));
  Statement::Use use(select);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return absl::OkStatus();
    RememberRequest(select->Text(1),
                    core::JobId(static_cast<uint64_t>(select->Int(0))));
  }
}

void SqliteStore::RememberRequest(const std::string& request_id,
                                  core::JobId job) {
  const bool added = requests_.try_emplace(HashOf(request_id), job).second;
  if (!added) collisions_.try_emplace(request_id, job);
}

absl::StatusOr<std::optional<core::JobId>> SqliteStore::FindRequest(
    const std::string& request_id) {
  const auto found = requests_.find(HashOf(request_id));
  if (found == requests_.end()) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string stored,
                   ReadRequestId(writer_.get(), found->second));
  if (stored == request_id) return found->second;
  const auto collision = collisions_.find(request_id);
  if (collision == collisions_.end()) return std::nullopt;
  return collision->second;
}

absl::StatusOr<std::optional<core::JobState>> SqliteStore::FindState(
    core::JobId job) {
  ASSIGN_OR_RETURN(Statement * select,
                   writer_->Prepare("SELECT state FROM jobs WHERE id=?1"));
  Statement::Use use(select);
  select->BindInt(1, static_cast<int64_t>(job.value()));
  ASSIGN_OR_RETURN(const bool found, select->Step());
  if (!found) return std::nullopt;
  return static_cast<core::JobState>(select->Int(0));
}

absl::Status SqliteStore::Commit(absl::Span<const core::Record> records,
                                 absl::Span<const core::AccountPast> past) {
  if (std::none_of(records.begin(), records.end(), core::IsDurable))
    return absl::OkStatus();
  Transaction transaction(writer_.get());
  RETURN_IF_ERROR(transaction.status());
  RETURN_IF_ERROR(record_writer_.Write(records));
  RETURN_IF_ERROR(record_writer_.WritePast(past));
  RETURN_IF_ERROR(transaction.Commit());
  for (const core::Record& record : records) {
    const auto* submitted = std::get_if<core::JobSubmitted>(&record.change);
    if (submitted != nullptr && !submitted->request_id.empty()) {
      RememberRequest(submitted->request_id, record.job);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<engine::StoredJob> SqliteStore::GetJob(core::JobId id) {
  engine::StoredJob job;
  RETURN_IF_ERROR(readers_.Read([&](Database* db) -> absl::Status {
    ASSIGN_OR_RETURN(job, ReadJob(db, id, {.spec = true}));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<std::string> SqliteStore::GetSpec(core::JobId id) {
  std::string spec;
  RETURN_IF_ERROR(readers_.ReadOne([&](Database* db) -> absl::Status {
    ASSIGN_OR_RETURN(spec, ReadSpec(db, id));
    return absl::OkStatus();
  }));
  return spec;
}

absl::StatusOr<std::vector<engine::StoredJob>> SqliteStore::ReadJobs(
    absl::FunctionRef<absl::StatusOr<std::vector<core::JobId>>(Database*)>
        find) {
  std::vector<engine::StoredJob> jobs;
  RETURN_IF_ERROR(readers_.Read([&](Database* db) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<core::JobId> ids, find(db));
    for (const core::JobId id : ids) {
      ASSIGN_OR_RETURN(engine::StoredJob job, ReadJob(db, id, {.spec = true}));
      jobs.push_back(std::move(job));
    }
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<engine::StoredJob>> SqliteStore::ListJobs(
    const engine::JobQuery& query, core::JobId before, size_t limit) {
  return ReadJobs([&](Database* db) {
    return FindJobs(db, query,
                    {.before = before, .after = std::nullopt, .limit = limit});
  });
}

absl::StatusOr<std::vector<engine::StoredJob>> SqliteStore::ChangedJobs(
    const engine::JobQuery& query, core::Revision revision, size_t limit) {
  return ReadJobs([&](Database* db) {
    return FindJobs(
        db, query,
        {.before = core::JobId(), .after = revision, .limit = limit});
  });
}

}  // namespace trainyard::adapters
