#include "server/adapters/sqlite_points.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace trainyard::adapters {
namespace {

using telemetry::Entry;
using telemetry::Kind;
using telemetry::Page;
using telemetry::ReadRequest;

// A job's entries are dropped once they are this much above the bound, so that
// it does not happen for each.
constexpr int64_t kSlackDivisor = 10;
// Entries dropped from an old job at a time, when the file is full.
constexpr int64_t kDropAtOnce = 10'000;

constexpr const char* kSchema[] = {
    R"(
CREATE TABLE entries(
  job INTEGER NOT NULL, kind INTEGER NOT NULL, position INTEGER NOT NULL,
  attempt INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY(job, kind, position)) WITHOUT ROWID;
CREATE TABLE streams(
  job INTEGER NOT NULL, kind INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(job, kind)) WITHOUT ROWID;
CREATE INDEX streams_with_entries ON streams(job, kind) WHERE bytes>0;
CREATE TABLE sequences(
  job INTEGER NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY(job, attempt)) WITHOUT ROWID;
)",
};

void BindStream(Statement* statement, int64_t job, int kind) {
  statement->BindInt(1, job);
  statement->BindInt(2, kind);
}

// (first, last) of a stream; (1, 0) where it has none.
absl::StatusOr<std::pair<uint64_t, uint64_t>> Range(Database* db, uint64_t job,
                                                    Kind kind) {
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare("SELECT first,last FROM streams WHERE job=?1 AND kind=?2"));
  Statement::Use use(select);
  BindStream(select, static_cast<int64_t>(job), static_cast<int>(kind));
  ASSIGN_OR_RETURN(const bool found, select->Step());
  if (!found) return std::make_pair(uint64_t{1}, uint64_t{0});
  return std::make_pair(static_cast<uint64_t>(select->Int(0)),
                        static_cast<uint64_t>(select->Int(1)));
}

absl::Status ReadPage(Database* db, const ReadRequest& request, Page* page) {
  ASSIGN_OR_RETURN(const auto range, Range(db, request.job, request.kind));
  // A cursor beyond the end: a power cut took what it had seen.
  const uint64_t after = std::min(request.after, range.second);
  page->gap = after != request.after || after + 1 < range.first;
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare(
          "SELECT position,attempt,payload FROM entries WHERE job=?1 AND "
          "kind=?2 AND position>?3 AND (?4=0 OR attempt=?4) "
          "ORDER BY position"));
  Statement::Use use(select);
  BindStream(select, static_cast<int64_t>(request.job),
             static_cast<int>(request.kind));
  select->BindInt(3, static_cast<int64_t>(after));
  select->BindInt(4, request.attempt);
  size_t bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select->Step());
    if (!found) break;
    if (page->entries.size() >= request.limit || bytes >= request.max_bytes) {
      page->last = false;
      page->next = page->entries.back().position;
      return absl::OkStatus();
    }
    page->entries.push_back({static_cast<uint64_t>(select->Int(0)),
                             static_cast<uint32_t>(select->Int(1)),
                             select->Text(2)});
    bytes += page->entries.back().payload.size();
  }
  page->next = range.second;
  return absl::OkStatus();
}

// The position before the last `count` entries.
absl::StatusOr<uint64_t> ReadTail(Database* db, uint64_t job, Kind kind,
                                  uint32_t attempt, uint64_t count) {
  ASSIGN_OR_RETURN(const auto range, Range(db, job, kind));
  const uint64_t oldest = range.first - 1;
  if (attempt == 0)
    return std::max(oldest, range.second > count ? range.second - count : 0);
  ASSIGN_OR_RETURN(
      Statement * select,
      db->Prepare("SELECT position FROM entries WHERE job=?1 AND kind=?2 AND "
                  "attempt=?3 ORDER BY position DESC LIMIT 1 OFFSET ?4"));
  Statement::Use use(select);
  BindStream(select, static_cast<int64_t>(job), static_cast<int>(kind));
  select->BindInt(3, attempt);
  select->BindInt(4, static_cast<int64_t>(count));
  ASSIGN_OR_RETURN(const bool found, select->Step());
  return found ? static_cast<uint64_t>(select->Int(0)) : oldest;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlitePoints>> SqlitePoints::Open(
    const std::string& path, SqlitePointsOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> writer,
                   Database::Open(path, {.durable = false}));
  if (absl::Status status = Migrate(writer.get(), kSchema); !status.ok()) {
    return WithContext(status, path);
  }
  ASSIGN_OR_RETURN(
      const int64_t bytes,
      writer->QueryInt("SELECT COALESCE(SUM(bytes),0) FROM streams"));
  auto points = std::unique_ptr<SqlitePoints>(
      new SqlitePoints(options, std::move(writer)));
  RETURN_IF_ERROR(points->readers_.Open(path, options.readers));
  absl::MutexLock lock(&points->mutex_);
  points->bytes_ = bytes;
  return points;
}

absl::Status SqlitePoints::Append(absl::Span<const Entry> entries) {
  if (entries.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  Transaction transaction(writer_.get());
  RETURN_IF_ERROR(transaction.status());
  Changes changes;
  for (const Entry& entry : entries) RETURN_IF_ERROR(Insert(entry, &changes));
  std::vector<StreamId> touched;
  for (const auto& [id, stream] : changes.streams) touched.push_back(id);
  const int64_t limit = options_.entries_per_job;
  for (const StreamId& id : touched) {
    const Stream& stream = changes.streams.at(id);
    if (stream.last - stream.first + 1 > limit + limit / kSlackDivisor) {
      RETURN_IF_ERROR(Drop(id, stream.last - limit, &changes));
    }
  }
  RETURN_IF_ERROR(WriteBack(changes));
  if (bytes_ + changes.bytes > options_.bytes_in_all) {
    RETURN_IF_ERROR(DropOldestJobs(&changes));
  }
  RETURN_IF_ERROR(transaction.Commit());
  bytes_ += changes.bytes;
  return absl::OkStatus();
}

absl::Status SqlitePoints::Insert(const Entry& entry, Changes* changes) {
  ASSIGN_OR_RETURN(uint64_t* const sequence, Sequence(entry.attempt, changes));
  if (entry.sequence <= *sequence) return absl::OkStatus();
  *sequence = entry.sequence;
  const StreamId id(static_cast<int64_t>(entry.attempt.job),
                    static_cast<int>(entry.kind));
  ASSIGN_OR_RETURN(Stream* const stream, FindStream(id, changes));
  ++stream->last;
  stream->bytes += static_cast<int64_t>(entry.payload.size());
  changes->bytes += static_cast<int64_t>(entry.payload.size());
  ASSIGN_OR_RETURN(
      Statement * insert,
      writer_->Prepare("INSERT INTO entries(job,kind,position,attempt,payload) "
                       "VALUES(?1,?2,?3,?4,?5)"));
  BindStream(insert, id.first, id.second);
  insert->BindInt(3, stream->last);
  insert->BindInt(4, entry.attempt.attempt);
  insert->BindBlob(5, entry.payload);
  return insert->Run();
}

// The newest sequence stored of an attempt, to be changed; valid until the next
// call.
absl::StatusOr<uint64_t*> SqlitePoints::Sequence(telemetry::AttemptId attempt,
                                                 Changes* changes) {
  const auto [found, added] = changes->sequences.try_emplace(attempt, 0);
  if (!added) return &found->second;
  ASSIGN_OR_RETURN(
      Statement * select,
      writer_->Prepare(
          "SELECT sequence FROM sequences WHERE job=?1 AND attempt=?2"));
  Statement::Use use(select);
  select->BindInt(1, static_cast<int64_t>(attempt.job));
  select->BindInt(2, attempt.attempt);
  ASSIGN_OR_RETURN(const bool stored, select->Step());
  if (stored) found->second = static_cast<uint64_t>(select->Int(0));
  return &found->second;
}

absl::StatusOr<SqlitePoints::Stream*> SqlitePoints::FindStream(
    StreamId id, Changes* changes) {
  const auto [found, added] = changes->streams.try_emplace(id);
  if (!added) return &found->second;
  ASSIGN_OR_RETURN(
      Statement * select,
      writer_->Prepare(
          "SELECT first,last,bytes FROM streams WHERE job=?1 AND kind=?2"));
  Statement::Use use(select);
  BindStream(select, id.first, id.second);
  ASSIGN_OR_RETURN(const bool stored, select->Step());
  if (stored) found->second = {select->Int(0), select->Int(1), select->Int(2)};
  return &found->second;
}

absl::Status SqlitePoints::Drop(StreamId id, int64_t up_to, Changes* changes) {
  ASSIGN_OR_RETURN(Stream* const stream, FindStream(id, changes));
  ASSIGN_OR_RETURN(Statement * sum,
                   writer_->Prepare("SELECT COALESCE(SUM(LENGTH(payload)),0) "
                                    "FROM entries WHERE job=?1 AND "
                                    "kind=?2 AND position<=?3"));
  {
    Statement::Use use(sum);
    BindStream(sum, id.first, id.second);
    sum->BindInt(3, up_to);
    RETURN_IF_ERROR(sum->Step().status());
    const int64_t dropped = up_to >= stream->last ? stream->bytes : sum->Int(0);
    stream->bytes -= dropped;
    changes->bytes -= dropped;
  }
  stream->first = up_to + 1;
  ASSIGN_OR_RETURN(
      Statement * erase,
      writer_->Prepare(
          "DELETE FROM entries WHERE job=?1 AND kind=?2 AND position<=?3"));
  BindStream(erase, id.first, id.second);
  erase->BindInt(3, up_to);
  return erase->Run();
}

// A little below the bound, so that it does not happen for each Append.
absl::Status SqlitePoints::DropOldestJobs(Changes* changes) {
  const int64_t goal = options_.bytes_in_all - options_.bytes_in_all / 20;
  while (bytes_ + changes->bytes > goal) {
    ASSIGN_OR_RETURN(
        Statement * oldest,
        writer_->Prepare(
            "SELECT job,kind,first,last FROM streams WHERE bytes>0 "
            "ORDER BY job,kind LIMIT 1"));
    StreamId id;
    int64_t up_to = 0;
    {
      Statement::Use use(oldest);
      ASSIGN_OR_RETURN(const bool found, oldest->Step());
      if (!found) return absl::OkStatus();
      id = {oldest->Int(0), static_cast<int>(oldest->Int(1))};
      up_to = std::min(oldest->Int(2) + kDropAtOnce - 1, oldest->Int(3));
    }
    RETURN_IF_ERROR(Drop(id, up_to, changes));
    RETURN_IF_ERROR(WriteBack(*changes));
  }
  return absl::OkStatus();
}

absl::Status SqlitePoints::WriteBack(const Changes& changes) {
  ASSIGN_OR_RETURN(
      Statement * sequences,
      writer_->Prepare("INSERT OR REPLACE INTO sequences(job,attempt,sequence) "
                       "VALUES(?1,?2,?3)"));
  for (const auto& [attempt, sequence] : changes.sequences) {
    sequences->BindInt(1, static_cast<int64_t>(attempt.job));
    sequences->BindInt(2, attempt.attempt);
    sequences->BindInt(3, static_cast<int64_t>(sequence));
    RETURN_IF_ERROR(sequences->Run());
  }
  ASSIGN_OR_RETURN(
      Statement * streams,
      writer_->Prepare(
          "INSERT OR REPLACE INTO streams(job,kind,first,last,bytes) "
          "VALUES(?1,?2,?3,?4,?5)"));
  for (const auto& [id, stream] : changes.streams) {
    BindStream(streams, id.first, id.second);
    streams->BindInt(3, stream.first);
    streams->BindInt(4, stream.last);
    streams->BindInt(5, stream.bytes);
    RETURN_IF_ERROR(streams->Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<Page> SqlitePoints::Read(const ReadRequest& request) {
  Page page;
  RETURN_IF_ERROR(readers_.Read(
      [&](Database* db) { return ReadPage(db, request, &page); }));
  return page;
}

absl::StatusOr<uint64_t> SqlitePoints::Tail(uint64_t job, Kind kind,
                                            uint32_t attempt, uint64_t count) {
  uint64_t after = 0;
  RETURN_IF_ERROR(readers_.Read([&](Database* db) -> absl::Status {
    ASSIGN_OR_RETURN(after, ReadTail(db, job, kind, attempt, count));
    return absl::OkStatus();
  }));
  return after;
}

}  // namespace trainyard::adapters
