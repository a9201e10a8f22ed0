// The scheduler's state: live jobs and workers. It changes only by Apply() and
// is the same after the same durable records and reports.
//
//   RETURN_IF_ERROR(cluster.Apply(record));
//   if (const Job* job = cluster.FindJob(id)) … job->state …
//   for (const auto& [name, worker] : cluster.workers()) … worker.devices …
//
// Not thread-safe: the engine's thread owns it.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/core/claims.h"
#include "server/core/fleet.h"
#include "server/core/job.h"
#include "server/core/queues.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::core {

class Cluster {
 public:
  // (when a limit strikes, whose)
  using Deadlines = absl::btree_set<std::pair<absl::Time, JobId>>;

  // A live attempt: (priority of its job, minus when it was placed in Unix
  // microseconds, key): the least important ones first, of those the youngest.
  using Placed = absl::btree_set<std::tuple<int32_t, int64_t, AttemptKey>>;

  explicit Cluster(const OrderPolicy& order = {}) : queues_(order) {}
  // For a restart: the newest committed revision and the newest job.
  Cluster(const OrderPolicy& order, Revision revision, JobId last_job)
      : revision_(revision), last_job_(last_job), queues_(order) {}
  Cluster(Cluster&&) = default;
  Cluster& operator=(Cluster&&) = default;

  // INTERNAL when the record does not follow from the state: a bug. The
  // cluster must be loaded anew then.
  [[nodiscard]] absl::Status Apply(const Record& record);

  // Puts the jobs whose backoff is over at `now` in line; Apply does so too.
  void AdvanceTo(absl::Time now);

  // For a restart: queues first. Workers of live attempts start SILENT, last
  // seen `now`.
  void RestoreQueue(const QueueName& queue, const QueueSettings& settings);
  [[nodiscard]] absl::Status Restore(RestoredJob job, absl::Time now);
  // A worker without live attempts starts LEFT.
  void RestoreDraining(const WorkerName& worker, absl::Time now);
  void RestorePast(const AccountPast& account, absl::Time now);

  Revision revision() const { return revision_; }
  JobId last_job() const { return last_job_; }

  // nullptr: never accepted, or final already.
  const Job* FindJob(JobId job) const;
  // The live job that the request made; none: an empty id.
  JobId FindRequest(absl::string_view request_id) const;
  size_t live_jobs() const { return jobs_.size(); }
  size_t CountJobs(JobState state) const;

  const std::map<WorkerName, Worker>& workers() const {
    return fleet_.workers();
  }
  const Worker* FindWorker(const WorkerName& worker) const {
    return fleet_.Find(worker);
  }

  const Fleet& fleet() const { return fleet_; }
  const Queues& queues() const { return queues_; }
  const Deadlines& deadlines() const { return deadlines_; }
  const Claims& claims() const { return claims_; }
  const Placed& placed() const { return placed_; }
  // Grows whenever a waiting job may fit that did not before.
  uint64_t openings() const { return openings_; }

 private:
  // Equal when the request_id is.
  struct ByRequest {
    using is_transparent = void;
    static absl::string_view Key(const Job* job) { return job->request_id; }
    static absl::string_view Key(absl::string_view id) { return id; }
    template <typename T>
    size_t operator()(const T& value) const {
      return absl::Hash<absl::string_view>()(Key(value));
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Key(a) == Key(b);
    }
  };

  absl::Status On(const Record& record, const JobSubmitted& change);
  absl::Status On(const Record& record, const AttemptPlaced& change);
  absl::Status On(const Record& record, const AttemptStarted& change);
  absl::Status On(const Record& record, const AttemptPreempted& change);
  absl::Status On(const Record& record, const CheckpointStored& change);
  absl::Status On(const Record& record, const AttemptEnded& change);
  absl::Status On(const Record& record, const JobRequeued& change);
  absl::Status On(const Record& record, const CancelRequested& change);
  absl::Status On(const Record& record, const JobEnded& change);
  absl::Status On(const Record& record, const WorkerDrainSet& change);
  absl::Status On(const Record& record, const QueueSet& change);
  absl::Status On(const Record& record, const QueueDeleted& change);
  absl::Status On(const Record& record, const QueueHoursReset& change);
  absl::Status On(const Record& record, const WorkerReported& change);
  absl::Status On(const Record& record, const WorkerDisconnected& change);
  absl::Status On(const Record& record, const WorkerLost& change);
  absl::Status On(const Record& record, const AttemptOverdue& change);
  absl::Status On(const Record& record, const GraceEnded& change);

  Job* FindMutable(JobId job);
  absl::Status FindHolder(const Record& record, uint32_t attempt, Job** job);
  absl::Status Move(Job& job, JobState to);
  void Add(std::unique_ptr<Job> job, absl::Time now);
  // The job's live attempt holds its devices, or does no more.
  void Hold(const Job& job, absl::Time now);
  void Release(const Job& job, absl::Time now);
  // A change of the job that may move its deadline happens between the two.
  void EraseDeadline(const Job& job);
  void InsertDeadline(const Job& job);
  bool Opens(const WorkerReport& report) const;

  Revision revision_ = 0;
  JobId last_job_;
  absl::flat_hash_map<JobId, std::unique_ptr<Job>> jobs_;
  absl::flat_hash_set<const Job*, ByRequest, ByRequest> requests_;
  std::array<size_t, 7> counts_ = {};  // by JobState
  Queues queues_;
  Fleet fleet_;
  Deadlines deadlines_;
  Claims claims_;
  Placed placed_;
  uint64_t openings_ = 0;
};

}  // namespace trainyard::core
