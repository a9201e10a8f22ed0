#include "server/adapters/job_schema.h"

namespace trainyard::adapters {
namespace {

constexpr const char* kSteps[] = {
    R"(
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL,
  state INTEGER NOT NULL,
  submit_time INTEGER NOT NULL,
  start_time INTEGER,
  end_time INTEGER,
  not_before INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  name TEXT NOT NULL,
  scheduling BLOB NOT NULL,
  labels BLOB,
  reason TEXT,
  checkpoint BLOB,
  outputs BLOB);
CREATE INDEX jobs_by_revision ON jobs(revision);
CREATE INDEX jobs_by_state ON jobs(state);
CREATE TABLE specs(job INTEGER PRIMARY KEY, spec BLOB NOT NULL);
CREATE TABLE requests(job INTEGER PRIMARY KEY, request_id TEXT NOT NULL);
CREATE TABLE job_labels(
  key TEXT NOT NULL, value TEXT NOT NULL, job INTEGER NOT NULL,
  PRIMARY KEY(key, value, job)) WITHOUT ROWID;
CREATE TABLE attempts(
  job INTEGER NOT NULL,
  number INTEGER NOT NULL,
  worker TEXT NOT NULL,
  instance TEXT NOT NULL,
  devices BLOB NOT NULL,
  outcome INTEGER NOT NULL DEFAULT 0,
  place_time INTEGER NOT NULL,
  start_time INTEGER,
  end_time INTEGER,
  failure BLOB,
  PRIMARY KEY(job, number)) WITHOUT ROWID;
CREATE TABLE drains(
  worker TEXT PRIMARY KEY, revision INTEGER NOT NULL, draining INTEGER NOT NULL) WITHOUT ROWID;
)",
    // A queue without settings was deleted, or is as the server makes it. Of an
    // attempt of before, all devices were of one kind, told by the ids.
    R"(
CREATE TABLE queues(
  name TEXT PRIMARY KEY, revision INTEGER NOT NULL, settings BLOB) WITHOUT ROWID;
CREATE TABLE past_usage(
  queue TEXT NOT NULL, is_user INTEGER NOT NULL, user TEXT NOT NULL, past BLOB NOT NULL,
  PRIMARY KEY(queue, is_user, user)) WITHOUT ROWID;
ALTER TABLE attempts ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
UPDATE attempts SET kind = CASE
  WHEN INSTR(CAST(devices AS TEXT), 'cuda') > 0 THEN 2
  WHEN INSTR(CAST(devices AS TEXT), 'mps') > 0 THEN 3
  ELSE 1 END;
)",
    R"(
ALTER TABLE jobs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN preempted_by INTEGER;
ALTER TABLE attempts ADD COLUMN preempt_reason TEXT;
ALTER TABLE attempts ADD COLUMN stop_by INTEGER;
)",
};

}  // namespace

absl::Span<const char* const> JobSchema() { return kSteps; }

}  // namespace trainyard::adapters
