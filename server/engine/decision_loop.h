// One round of the engine, without its thread: decide and apply each command,
// place what fits, make room, commit all records at once. Simulations and tests
// run it.
//
//   DecisionLoop loop(policy, &store, &metrics);
//   RETURN_IF_ERROR(loop.Load(now));
//   Round round = loop.RunOnce({core::CancelJob{job, "typo"}}, now);
//   … reply with round.replies, tell round.workers what they should be …
//
// When a commit fails, the cluster is loaded anew and every command of the
// round gets the error. For a while after it (100 ms, doubled up to 5 s), what
// needs a commit is refused at once; the rest goes on.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/core/cluster.h"
#include "server/core/command.h"
#include "server/core/decide.h"
#include "server/engine/metrics.h"
#include "server/engine/store.h"

namespace trainyard::engine {

struct Round {
  std::vector<core::Reply> replies;  // one per command, in their order
  // Whose desired state may have changed.
  absl::btree_set<core::WorkerName> workers;
  bool jobs_changed = false;
};

class DecisionLoop {
 public:
  // Borrows the ports.
  DecisionLoop(core::Policy policy, Store* store, Metrics* metrics);

  absl::Status Load(absl::Time now);
  // To be called with a Tick at least once in a quarter of the worker lease: a
  // longer pause counts as the server's own downtime and expires no lease.
  Round RunOnce(absl::Span<const core::Command> commands, absl::Time now);

  // As of the last commit. Without jobs while !loaded().
  const core::Cluster& cluster() const { return cluster_; }
  // False while the store cannot be read after a failed commit: nobody must be
  // told then what to be.
  bool loaded() const { return loaded_; }

 private:
  // What a round did, to be told once it is durable.
  struct Draft {
    std::vector<core::Record> records;
    // Accounts of which attempts ended: a queue, a user in it.
    absl::btree_set<std::pair<core::QueueName, std::optional<core::UserName>>>
        used;
    std::vector<absl::Duration> queue_waits;
    std::vector<core::Outcome> outcomes;
    std::vector<std::pair<core::JobState, absl::Duration>> ends;
    absl::Duration run_time;  // of the attempt that ended last
    size_t submits = 0;
    size_t workers_lost = 0;
    Round round;
  };

  void NoteTime(absl::Time now);
  // Whether durable decisions have to wait after a failed commit.
  bool MustWait() const { return now_ < retry_at_; }
  absl::StatusOr<core::History> Recall(const core::Command& command);
  // An error is the round's; the command's own is in the reply.
  absl::Status DecideOne(const core::Command& command, Draft& draft);
  absl::Status ApplyAll(std::vector<core::Record> records, Draft& draft);
  void Note(const core::Record& record, Draft& draft);
  absl::Status Place(Draft& draft);
  // Has attempts stopped for jobs that found no place.
  absl::Status MakeRoom(Draft& draft);
  absl::Status Commit(const Draft& draft, size_t commands);
  Round Fail(const absl::Status& error, size_t commands);
  // While the store cannot be read: nothing uncommitted may be seen.
  void ForgetJobs();
  absl::btree_set<core::WorkerName> AllWorkers() const;
  void Tell(const Draft& draft);

  const core::Policy policy_;
  Store* const store_;
  Metrics* const metrics_;
  core::Cluster cluster_;
  bool loaded_ = false;
  core::History recent_;          // jobs that ended in this round
  uint64_t placed_openings_ = 0;  // cluster_.openings() after the last pass
  absl::Time make_room_at_ = absl::InfinitePast();
  absl::Time now_ = absl::InfinitePast();
  absl::Time listening_since_ = absl::InfinitePast();
  // After a failed commit.
  absl::Status commit_error_;
  int commit_failures_ = 0;  // in a row
  absl::Time retry_at_ = absl::InfinitePast();
};

}  // namespace trainyard::engine
