#include "server/adapters/record_writer.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/adapters/stored.h"

namespace trainyard::adapters {
namespace {

const std::string* NoReason() {
  static const std::string* const empty = new std::string;
  return empty;
}

template <typename T>
void BindOptional(Statement* statement, int parameter,
                  const std::optional<T>& value) {
  if (!value.has_value()) {
    statement->BindNull(parameter);
  } else if constexpr (std::is_same_v<T, absl::Time>) {
    statement->BindTime(parameter, *value);
  } else {
    statement->BindInt(parameter, static_cast<int64_t>(*value));
  }
}

// Binds the parameters that Insert and Update share, ?1 to ?13. `blobs` keeps
// the encoded bytes alive until the statement has run.
template <typename Patch>
void BindChanging(Statement* statement, const Patch& patch,
                  std::string (&blobs)[2]) {
  statement->BindInt(1, static_cast<int64_t>(patch.id.value()));
  statement->BindInt(2, static_cast<int64_t>(patch.revision));
  BindOptional(statement, 3, patch.state);
  BindOptional(statement, 4, patch.start_time);
  BindOptional(statement, 5, patch.end_time);
  BindOptional(statement, 6, patch.not_before);
  BindOptional(statement, 7, patch.failures);
  BindOptional(statement, 8, patch.attempts);
  if (patch.cancel_requested) {
    statement->BindInt(9, 1);
  } else {
    statement->BindNull(9);
  }
  if (patch.reason == nullptr) {
    statement->BindNull(10);
  } else {
    statement->BindText(10, *patch.reason);
  }
  if (patch.checkpoint == nullptr) {
    statement->BindNull(11);
  } else {
    blobs[0] = EncodeCheckpoint(*patch.checkpoint);
    statement->BindBlob(11, blobs[0]);
  }
  if (patch.outputs == nullptr) {
    statement->BindNull(12);
  } else {
    blobs[1] = EncodeOutputs(*patch.outputs);
    statement->BindBlob(12, blobs[1]);
  }
  BindOptional(statement, 13, patch.losses);
}

}  // namespace

RecordWriter::RecordWriter(Database* db)
    : db_(db),
      insert_attempt_(
          "INSERT INTO attempts(job,number,worker,instance,devices,place_time,"
          "kind) VALUES(?1,?2,?3,?4,?5,?6,?7)"),
      start_attempt_(
          "UPDATE attempts SET start_time=?3 WHERE job=?1 AND number=?2"),
      preempt_attempt_(
          "UPDATE attempts SET preempted_by=?3,preempt_reason=?4,stop_by=?5 "
          "WHERE job=?1 AND number=?2"),
      end_attempt_(
          "UPDATE attempts SET outcome=?3,end_time=?4,failure=?5,"
          "start_time=COALESCE(?6,start_time) WHERE job=?1 AND number=?2"),
      set_drain_(
          "INSERT OR REPLACE INTO drains(worker,revision,draining) "
          "VALUES(?1,?2,?3)"),
      set_queue_(
          "INSERT OR REPLACE INTO queues(name,revision,settings) "
          "VALUES(?1,?2,?3)"),
      touch_queue_(
          "INSERT INTO queues(name,revision) VALUES(?1,?2) "
          "ON CONFLICT(name) DO UPDATE SET revision=?2"),
      delete_past_("DELETE FROM past_usage WHERE queue=?1"),
      set_past_(
          "INSERT OR REPLACE INTO past_usage(queue,is_user,user,past) "
          "VALUES(?1,?2,?3,?4)"),
      insert_job_(
          "INSERT INTO jobs(id,revision,state,start_time,end_time,not_before,"
          "failures,attempts,cancel_requested,reason,checkpoint,outputs,"
          "losses,submit_time,name,scheduling,labels) VALUES(?1,?2,?3,?4,?5,"
          "?6,COALESCE(?7,0),COALESCE(?8,0),COALESCE(?9,0),?10,?11,?12,"
          "COALESCE(?13,0),?14,?15,?16,?17)"),
      insert_plain_job_(
          "INSERT INTO jobs(id,revision,state,submit_time,name,scheduling,"
          "labels) VALUES(?1,?2,?3,?4,?5,?6,?7)"),
      insert_spec_("INSERT INTO specs(job,spec) VALUES(?1,?2)"),
      insert_request_("INSERT INTO requests(job,request_id) VALUES(?1,?2)"),
      insert_label_("INSERT INTO job_labels(key,value,job) VALUES(?1,?2,?3)"),
      update_job_(
          "UPDATE jobs SET revision=?2,state=COALESCE(?3,state),"
          "start_time=COALESCE(?4,start_time),end_time=COALESCE(?5,end_time),"
          "not_before=COALESCE(?6,not_before),failures=COALESCE(?7,failures),"
          "attempts=COALESCE(?8,attempts),"
          "cancel_requested=COALESCE(?9,cancel_requested),"
          "reason=COALESCE(?10,reason),checkpoint=COALESCE(?11,checkpoint),"
          "outputs=COALESCE(?12,outputs),losses=COALESCE(?13,losses) "
          "WHERE id=?1") {}

absl::StatusOr<Statement*> RecordWriter::Lazy::Get(Database* db) {
  if (statement_ == nullptr) {
    ASSIGN_OR_RETURN(statement_, db->Prepare(sql_));
  }
  return statement_;
}

absl::Status RecordWriter::Write(absl::Span<const core::Record> records) {
  patches_.clear();
  by_job_.clear();
  for (const core::Record& record : records) {
    RETURN_IF_ERROR(std::visit(
        [&](const auto& change) { return On(record, change); }, record.change));
  }
  for (const JobPatch& patch : patches_) {
    RETURN_IF_ERROR(patch.submitted != nullptr ? Insert(patch) : Update(patch));
    if (patch.started.has_value()) RETURN_IF_ERROR(WriteStart(patch));
  }
  return absl::OkStatus();
}

absl::Status RecordWriter::WriteStart(const JobPatch& patch) {
  ASSIGN_OR_RETURN(Statement * update, start_attempt_.Get(db_));
  update->BindInt(1, static_cast<int64_t>(patch.id.value()));
  update->BindInt(2, patch.started->attempt);
  update->BindTime(3, patch.started->time);
  return update->Run();
}

RecordWriter::JobPatch& RecordWriter::Patch(const core::Record& record) {
  const auto [found, added] = by_job_.try_emplace(record.job, patches_.size());
  if (added) patches_.emplace_back().id = record.job;
  JobPatch& patch = patches_[found->second];
  patch.revision = record.revision;
  return patch;
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::JobSubmitted& change) {
  JobPatch& patch = Patch(record);
  patch.submitted = &change;
  patch.submit_time = record.time;
  patch.state = core::JobState::kQueued;
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::AttemptPlaced& change) {
  JobPatch& patch = Patch(record);
  patch.state = core::JobState::kStarting;
  patch.start_time = record.time;
  patch.attempts = change.attempt;
  patch.reason = NoReason();
  ASSIGN_OR_RETURN(Statement * insert, insert_attempt_.Get(db_));
  const std::string devices = EncodeStrings(change.devices);
  insert->BindInt(1, static_cast<int64_t>(record.job.value()));
  insert->BindInt(2, change.attempt);
  insert->BindText(3, change.worker.value());
  insert->BindText(4, change.instance);
  insert->BindBlob(5, devices);
  insert->BindTime(6, record.time);
  insert->BindInt(7, static_cast<int64_t>(change.kind));
  return insert->Run();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::AttemptStarted& change) {
  JobPatch& patch = Patch(record);
  patch.state = core::JobState::kRunning;
  patch.started = {change.attempt, record.time};
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::CheckpointStored& change) {
  JobPatch& patch = Patch(record);
  patch.checkpoint = &change.checkpoint;
  patch.losses = 0;
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::AttemptPreempted& change) {
  Patch(record);
  ASSIGN_OR_RETURN(Statement * update, preempt_attempt_.Get(db_));
  update->BindInt(1, static_cast<int64_t>(record.job.value()));
  update->BindInt(2, change.attempt);
  update->BindInt(3, static_cast<int64_t>(change.preemption.by.value()));
  update->BindText(4, change.preemption.reason);
  update->BindTime(5, change.preemption.stop_by);
  return update->Run();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::AttemptEnded& change) {
  JobPatch& patch = Patch(record);
  ASSIGN_OR_RETURN(Statement * update, end_attempt_.Get(db_));
  std::string failure;
  update->BindInt(1, static_cast<int64_t>(record.job.value()));
  update->BindInt(2, change.attempt);
  update->BindInt(3, static_cast<int64_t>(change.outcome));
  update->BindTime(4, record.time);
  if (change.failure.has_value()) {
    failure = EncodeFailure(*change.failure);
    update->BindBlob(5, failure);
  } else {
    update->BindNull(5);
  }
  // Short ones start and end in one commit, and then in one statement.
  if (patch.started.has_value() && patch.started->attempt == change.attempt) {
    update->BindTime(6, patch.started->time);
    patch.started.reset();
  } else {
    update->BindNull(6);
  }
  return update->Run();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::JobRequeued& change) {
  JobPatch& patch = Patch(record);
  patch.state = core::JobState::kQueued;
  patch.not_before = change.not_before;
  patch.failures = change.failures;
  patch.losses = change.losses;
  patch.reason = &change.reason;
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::CancelRequested& change) {
  JobPatch& patch = Patch(record);
  patch.cancel_requested = true;
  patch.reason = &change.reason;
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::JobEnded& change) {
  JobPatch& patch = Patch(record);
  patch.state = change.state;
  patch.end_time = record.time;
  patch.reason = &change.reason;
  patch.outputs = &change.outputs;
  return absl::OkStatus();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::WorkerDrainSet& change) {
  ASSIGN_OR_RETURN(Statement * replace, set_drain_.Get(db_));
  replace->BindText(1, change.worker.value());
  replace->BindInt(2, static_cast<int64_t>(record.revision));
  replace->BindInt(3, change.draining ? 1 : 0);
  return replace->Run();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::QueueSet& change) {
  ASSIGN_OR_RETURN(Statement * replace, set_queue_.Get(db_));
  const std::string settings = EncodeQueueSettings(change.settings);
  replace->BindText(1, change.queue.value());
  replace->BindInt(2, static_cast<int64_t>(record.revision));
  replace->BindBlob(3, settings);
  return replace->Run();
}

absl::Status RecordWriter::On(const core::Record& record,
                              const core::QueueDeleted& change) {
  ASSIGN_OR_RETURN(Statement * replace, set_queue_.Get(db_));
  replace->BindText(1, change.queue.value());
  replace->BindInt(2, static_cast<int64_t>(record.revision));
  replace->BindNull(3);
  RETURN_IF_ERROR(replace->Run());
  ASSIGN_OR_RETURN(Statement * remove, delete_past_.Get(db_));
  remove->BindText(1, change.queue.value());
  return remove->Run();
}

// What it changes comes as past usage.
absl::Status RecordWriter::On(const core::Record& record,
                              const core::QueueHoursReset& change) {
  ASSIGN_OR_RETURN(Statement * touch, touch_queue_.Get(db_));
  touch->BindText(1, change.queue.value());
  touch->BindInt(2, static_cast<int64_t>(record.revision));
  return touch->Run();
}

absl::Status RecordWriter::WritePast(
    absl::Span<const core::AccountPast> accounts) {
  for (const core::AccountPast& account : accounts) {
    ASSIGN_OR_RETURN(Statement * replace, set_past_.Get(db_));
    const std::string user = account.user.value_or(core::UserName()).value();
    const std::string past = EncodePastUsages(account.past);
    replace->BindText(1, account.queue.value());
    replace->BindInt(2, account.user.has_value() ? 1 : 0);
    replace->BindText(3, user);
    replace->BindBlob(4, past);
    RETURN_IF_ERROR(replace->Run());
  }
  return absl::OkStatus();
}

bool RecordWriter::IsPlain(const JobPatch& patch) {
  return !patch.start_time.has_value() && !patch.end_time.has_value() &&
         !patch.not_before.has_value() && !patch.failures.has_value() &&
         !patch.losses.has_value() && !patch.attempts.has_value() &&
         !patch.cancel_requested && patch.reason == nullptr &&
         patch.checkpoint == nullptr && patch.outputs == nullptr;
}

// Most new jobs are still in the queue when their commit ends.
absl::Status RecordWriter::InsertJob(const JobPatch& patch) {
  const core::JobSubmitted& submitted = *patch.submitted;
  const bool plain = IsPlain(patch);
  ASSIGN_OR_RETURN(Statement * insert,
                   (plain ? insert_plain_job_ : insert_job_).Get(db_));
  std::string blobs[2];
  if (plain) {
    insert->BindInt(1, static_cast<int64_t>(patch.id.value()));
    insert->BindInt(2, static_cast<int64_t>(patch.revision));
    BindOptional(insert, 3, patch.state);
  } else {
    BindChanging(insert, patch, blobs);
  }
  const int next = plain ? 4 : 14;
  const std::string scheduling = EncodeScheduling(submitted.scheduling);
  std::string labels;
  insert->BindTime(next, patch.submit_time);
  insert->BindText(next + 1, submitted.name);
  insert->BindBlob(next + 2, scheduling);
  if (submitted.labels.empty()) {
    insert->BindNull(next + 3);
  } else {
    labels = EncodeLabels(submitted.labels);
    insert->BindBlob(next + 3, labels);
  }
  return insert->Run();
}

absl::Status RecordWriter::Insert(const JobPatch& patch) {
  const core::JobSubmitted& submitted = *patch.submitted;
  RETURN_IF_ERROR(InsertJob(patch));
  ASSIGN_OR_RETURN(Statement * spec, insert_spec_.Get(db_));
  spec->BindInt(1, static_cast<int64_t>(patch.id.value()));
  spec->BindBlob(2, submitted.spec);
  RETURN_IF_ERROR(spec->Run());

  if (!submitted.request_id.empty()) {
    ASSIGN_OR_RETURN(Statement * request, insert_request_.Get(db_));
    request->BindInt(1, static_cast<int64_t>(patch.id.value()));
    request->BindText(2, submitted.request_id);
    RETURN_IF_ERROR(request->Run());
  }
  return InsertLabels(patch);
}

absl::Status RecordWriter::InsertLabels(const JobPatch& patch) {
  for (const auto& [key, value] : patch.submitted->labels) {
    ASSIGN_OR_RETURN(Statement * insert, insert_label_.Get(db_));
    insert->BindText(1, key);
    insert->BindText(2, value);
    insert->BindInt(3, static_cast<int64_t>(patch.id.value()));
    RETURN_IF_ERROR(insert->Run());
  }
  return absl::OkStatus();
}

absl::Status RecordWriter::Update(const JobPatch& patch) {
  ASSIGN_OR_RETURN(Statement * update, update_job_.Get(db_));
  std::string blobs[2];
  BindChanging(update, patch, blobs);
  RETURN_IF_ERROR(update->Run());
  if (db_->Changes() == 1) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("a record changes jobs/",
                                          patch.id.value(),
                                          ", which is not in the store"));
}

}  // namespace trainyard::adapters
