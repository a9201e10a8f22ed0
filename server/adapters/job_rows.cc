#include "server/adapters/job_rows.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "server/adapters/stored.h"

namespace trainyard::adapters {
namespace {

// Attempts shown of a job: the first and the last so many.
constexpr int64_t kAttemptsShown = 100;

constexpr absl::string_view kColumns =
    "id,revision,state,submit_time,start_time,end_time,not_before,failures,"
    "cancel_requested,"
    "attempts,name,scheduling,labels,reason,checkpoint,outputs,losses";
constexpr int kAttemptsColumn = 9;
// After them, where it is asked for.
constexpr int kRequestColumn = 17;

absl::Status NotFound(core::JobId job) {
  return absl::NotFoundError(
      absl::StrCat("jobs/", job.value(), " is not known to this server"));
}

// Of a row of kColumns.
absl::StatusOr<engine::StoredJob> ToJob(const Statement& row) {
  engine::StoredJob job;
  job.id = core::JobId(static_cast<uint64_t>(row.Int(0)));
  job.revision = static_cast<core::Revision>(row.Int(1));
  job.state = static_cast<core::JobState>(row.Int(2));
  job.submit_time = row.Time(3);
  job.start_time = row.OptionalTime(4);
  job.end_time = row.OptionalTime(5);
  job.not_before = row.OptionalTime(6).value_or(absl::InfinitePast());
  job.failures = static_cast<uint32_t>(row.Int(7));
  job.cancel_requested = row.Int(8) != 0;
  job.name = row.Text(10);
  ASSIGN_OR_RETURN(job.scheduling, DecodeScheduling(row.Bytes(11)));
  if (!row.IsNull(12)) {
    ASSIGN_OR_RETURN(job.labels, DecodeLabels(row.Bytes(12)));
  }
  job.reason = row.Text(13);
  if (!row.IsNull(14)) {
    ASSIGN_OR_RETURN(job.checkpoint, DecodeCheckpoint(row.Bytes(14)));
  }
  if (!row.IsNull(15)) {
    ASSIGN_OR_RETURN(job.outputs, DecodeOutputs(row.Bytes(15)));
  }
  job.losses = static_cast<uint32_t>(row.Int(16));
  return job;
}

absl::StatusOr<engine::StoredAttempt> ToAttempt(const Statement& row) {
  engine::StoredAttempt attempt;
  attempt.number = static_cast<uint32_t>(row.Int(0));
  attempt.worker = core::WorkerName(row.Text(1));
  attempt.instance = row.Text(2);
  ASSIGN_OR_RETURN(attempt.devices, DecodeStrings(row.Bytes(3)));
  attempt.outcome = static_cast<core::Outcome>(row.Int(4));
  attempt.place_time = row.Time(5);
  attempt.start_time = row.OptionalTime(6);
  attempt.end_time = row.OptionalTime(7);
  if (!row.IsNull(8)) {
    ASSIGN_OR_RETURN(attempt.failure, DecodeFailure(row.Bytes(8)));
  }
  attempt.kind = static_cast<core::DeviceKind>(row.Int(9));
  if (!row.IsNull(10)) {
    attempt.preemption =
        core::Preemption{core::JobId(static_cast<uint64_t>(row.Int(10))),
                         row.Text(11), row.Time(12)};
  }
  return attempt;
}

// `newest` is the number of the newest attempt: they count from 1.
absl::Status ReadAttempts(Database* db, int64_t newest,
                          engine::StoredJob* job) {
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare(
          "SELECT number,worker,instance,devices,outcome,place_time,start_time,"
          "end_time,failure,kind,preempted_by,preempt_reason,stop_by FROM "
          "attempts WHERE job=?1 AND (number<=?2 OR "
          "number>?3) "
          "ORDER BY number"));
  Statement::Use use(select);
  select->BindInt(1, static_cast<int64_t>(job->id.value()));
  select->BindInt(2, kAttemptsShown);
  select->BindInt(3, newest - kAttemptsShown);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return absl::OkStatus();
    ASSIGN_OR_RETURN(engine::StoredAttempt attempt, ToAttempt(*select));
    job->attempts.push_back(std::move(attempt));
  }
}

absl::StatusOr<std::string> ReadText(Database* db, absl::string_view sql,
                                     core::JobId job) {
  ASSIGN_OR_RETURN(Statement * select, db->Prepare(sql));
  Statement::Use use(select);
  select->BindInt(1, static_cast<int64_t>(job.value()));
  ASSIGN_OR_RETURN(const bool found, select->Step());
  if (!found) return NotFound(job);
  return select->Text(0);
}

// Binds what a built query needs, in the order it was asked for.
class Parameters {
 public:
  std::string Add(absl::string_view text) {
    texts_.emplace_back(text);
    return absl::StrCat("?", texts_.size());
  }
  void BindTo(Statement* statement) const {
    for (size_t i = 0; i < texts_.size(); ++i) {
      statement->BindText(static_cast<int>(i) + 1, texts_[i]);
    }
  }

 private:
  std::vector<std::string> texts_;
};

// The query for one state, or for all where `state` is none. A "+" keeps SQLite
// from choosing an index that would make it read and sort far more rows.
std::string BuildSql(const engine::JobQuery& filter, const IdQuery& query,
                     std::optional<core::JobState> state,
                     Parameters* parameters) {
  std::vector<std::string> where;
  const bool by_revision = query.after.has_value();
  std::string from = "jobs j";
  if (by_revision) {
    if (filter.jobs.empty()) from = "jobs j INDEXED BY jobs_by_revision";
    where.push_back(absl::StrCat(filter.jobs.empty() ? "" : "+", "j.revision>",
                                 *query.after));
  } else if (query.before.value() != 0) {
    where.push_back(absl::StrCat("j.id<", query.before.value()));
  }
  bool driven_by_label = false;
  for (const auto& [key, value] : filter.labels) {
    const std::string match =
        absl::StrCat("l.key=", parameters->Add(key),
                     " AND l.value=", parameters->Add(value));
    if (!driven_by_label && !by_revision && filter.jobs.empty()) {
      driven_by_label = true;
      from = "job_labels l CROSS JOIN jobs j ON j.id=l.job";
      where.push_back(match);
      if (query.before.value() != 0) {
        where.push_back(absl::StrCat("l.job<", query.before.value()));
      }
    } else {
      where.push_back(absl::StrCat("EXISTS(SELECT 1 FROM job_labels l WHERE ",
                                   match, " AND l.job=j.id)"));
    }
  }
  if (state.has_value()) {
    const bool indexed =
        !by_revision && !driven_by_label && filter.jobs.empty();
    where.push_back(
        absl::StrCat(indexed ? "" : "+", "j.state=", static_cast<int>(*state)));
  }
  if (!filter.name.empty())
    where.push_back(absl::StrCat("j.name=", parameters->Add(filter.name)));
  if (!filter.jobs.empty()) {
    where.push_back(
        absl::StrCat("j.id IN (",
                     absl::StrJoin(filter.jobs, ",",
                                   [](std::string* out, core::JobId id) {
                                     absl::StrAppend(out, id.value());
                                   }),
                     ")"));
  }
  return absl::StrCat("SELECT j.id,j.revision FROM ", from,
                      where.empty() ? "" : " WHERE ",
                      absl::StrJoin(where, " AND "), " ORDER BY ",
                      by_revision       ? "j.revision"
                      : driven_by_label ? "l.job DESC"
                                        : "j.id DESC",
                      " LIMIT ", query.limit);
}

}  // namespace

absl::StatusOr<engine::StoredJob> ReadJob(Database* db, core::JobId id,
                                          ReadParts parts) {
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare(absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE id=?1")));
  engine::StoredJob job;
  int64_t attempts = 0;
  {
    Statement::Use use(select);
    select->BindInt(1, static_cast<int64_t>(id.value()));
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) return NotFound(id);
    ASSIGN_OR_RETURN(job, ToJob(*select));
    attempts = select->Int(kAttemptsColumn);
  }
  if (attempts > 0) RETURN_IF_ERROR(ReadAttempts(db, attempts, &job));
  ASSIGN_OR_RETURN(job.request_id, ReadRequestId(db, id));
  if (parts.spec) {
    ASSIGN_OR_RETURN(job.spec, ReadSpec(db, id));
  }
  return job;
}

absl::StatusOr<std::string> ReadSpec(Database* db, core::JobId job) {
  return ReadText(db, "SELECT spec FROM specs WHERE job=?1", job);
}

absl::StatusOr<std::string> ReadRequestId(Database* db, core::JobId job) {
  auto text = ReadText(db, "SELECT request_id FROM requests WHERE job=?1", job);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

absl::StatusOr<std::vector<core::JobId>> FindJobs(
    Database* db, const engine::JobQuery& filter, const IdQuery& query) {
  std::vector<std::optional<core::JobState>> states(filter.states.begin(),
                                                    filter.states.end());
  if (states.empty()) states.push_back(std::nullopt);
  std::vector<std::pair<uint64_t, core::JobId>> found;  // (sort key, job)
  for (const auto& state : states) {
    Parameters parameters;
    const std::string sql = BuildSql(filter, query, state, &parameters);
    ASSIGN_OR_RETURN(std::unique_ptr<Statement> select, db->PrepareOnce(sql));
    parameters.BindTo(select.get());
    while (true) {
      ASSIGN_OR_RETURN(const bool more, select->Step());
      if (!more) break;
      const auto id = static_cast<uint64_t>(select->Int(0));
      const auto revision = static_cast<uint64_t>(select->Int(1));
      // Newest first: the largest id has the smallest key.
      found.emplace_back(query.after.has_value() ? revision : ~id,
                         core::JobId(id));
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.size() > query.limit) found.resize(query.limit);
  std::vector<core::JobId> ids;
  for (const auto& [key, id] : found) ids.push_back(id);
  return ids;
}

absl::StatusOr<std::vector<engine::StoredJob>> ReadLiveJobs(Database* db) {
  std::vector<engine::StoredJob> jobs;
  ASSIGN_OR_RETURN(
      const int64_t count,
      db->QueryInt("SELECT COUNT(*) FROM jobs WHERE state IN (1,2,3)"));
  jobs.reserve(static_cast<size_t>(count));
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare(absl::StrCat("SELECT ", kColumns,
                               ",request_id FROM jobs LEFT JOIN requests ON "
                               "requests.job=jobs.id WHERE state=?1")));
  for (const core::JobState state :
       {core::JobState::kQueued, core::JobState::kStarting,
        core::JobState::kRunning}) {
    Statement::Use use(select);
    select->BindInt(1, static_cast<int64_t>(state));
    while (true) {
      ASSIGN_OR_RETURN(const bool found, select->Step());
      if (!found) break;
      ASSIGN_OR_RETURN(engine::StoredJob job, ToJob(*select));
      job.request_id = select->Text(kRequestColumn);
      const int64_t attempts = select->Int(kAttemptsColumn);
      if (attempts > 0) RETURN_IF_ERROR(ReadAttempts(db, attempts, &job));
      jobs.push_back(std::move(job));
    }
  }
  std::sort(jobs.begin(), jobs.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  return jobs;
}

}  // namespace trainyard::adapters
