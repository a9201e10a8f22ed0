// The queues: what each is allowed and has used, and the jobs that wait in it.
// Waiting jobs of one user with the same needs share a lane, so when the head
// of a lane does not fit, none of the lane fits and all of it is skipped: a
// placement pass costs lanes, not jobs.
//
//   job.lane = queues.Join(scheduling, now);   // once per live job
//   queues.Wait(job, now);                     // it may be placed
//   queues.Remove(job);                        // it may no longer
//   queues.Hold(job); … queues.Release(job, now);   // its attempt's devices
//   queues.Leave(job.lane, now);               // it is over
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/time/time.h"
#include "server/core/job.h"
#include "server/core/queue_order.h"
#include "server/core/types.h"
#include "server/core/usage.h"

namespace trainyard::core {

// What a job needs of one worker.
struct Needs {
  std::vector<DeviceRequest> devices;  // best first
  Labels worker_labels;
  // The run time limit is below 2^this seconds; kNoRunTimeLimit: there is none.
  // So a lane's head is about as long as the rest of it.
  uint8_t run_time_exponent = kNoRunTimeLimit;
  static constexpr uint8_t kNoRunTimeLimit = 255;
};

struct UserAccount;
struct Queue;

// What a queue (user: nullopt) or a user in it has used, for the store.
struct AccountPast {
  QueueName queue;
  std::optional<UserName> user = {};
  PastUsages past = {};
};

struct Lane {
  UserAccount* user = nullptr;
  const Needs* needs = nullptr;       // one for all jobs that need the same
  absl::btree_set<QueueKey> waiting;  // those that may be placed
  absl::btree_map<int32_t, size_t> priorities;  // how many wait, by priority
  size_t jobs = 0;                              // live jobs with these needs
};

// A user in one queue.
struct UserAccount {
  UserName name = {};
  Queue* queue = nullptr;
  Usage usage;
  absl::node_hash_map<const Needs*, Lane> lanes = {};
};

struct Queue {
  QueueName name = {};
  QueueSettings settings = {};
  Usage usage;
  size_t jobs = 0;  // live
  std::map<UserName, UserAccount> users = {};
};

class Queues {
 public:
  // Users of a queue who are kept for their past usage alone; beyond, those who
  // used least lately are forgotten.
  static constexpr size_t kMaxPastUsers = 1024;
  // (not_before, job) of a job in its backoff.
  using Delayed = absl::btree_set<std::pair<absl::Time, JobId>>;

  explicit Queues(const OrderPolicy& policy = {});
  Queues(Queues&&) = default;
  Queues& operator=(Queues&&) = default;

  const OrderPolicy& policy() const { return policy_; }
  const std::map<QueueName, Queue>& queues() const { return queues_; }
  const Queue* Find(const QueueName& name) const;
  const Delayed& delayed() const { return delayed_; }

  // Makes or changes a queue.
  void Set(const QueueName& name, const QueueSettings& settings);
  // It must be without live jobs.
  void Erase(const QueueName& name);
  void ResetHours(const QueueName& name, absl::Time now);

  // The lane for these needs, with one more job. Stays valid until Leave(). An
  // unknown queue is made, with the default settings: its jobs were accepted.
  Lane* Join(const SchedulingSpec& scheduling, absl::Time now);
  void Leave(Lane* lane, absl::Time now);

  // The job, which is QUEUED, in line or, before its not_before, delayed.
  void Wait(const Job& job, absl::Time now);
  void Remove(const Job& job);
  // The first job whose backoff is over at `now`, taken out of delayed(); none:
  // an empty id. The caller puts it into its lane with Wait().
  JobId TakeDue(absl::Time now);

  // Whether some live job needs more than `from` bytes of memory on a device of
  // the kind, and no more than `to`.
  bool WaitsForMemory(DeviceKind kind, uint64_t from, uint64_t to) const;

  // The job's live attempt holds its devices, from its place_time to `now`.
  void Hold(const Job& job);
  void Release(const Job& job, absl::Time now);

  // What the attempts of a queue, or of a user in it, used that are over.
  PastUsages PastOf(const QueueName& queue,
                    const std::optional<UserName>& user) const;
  void RestorePast(const AccountPast& account, absl::Time now);

 private:
  UserAccount& FindOrMakeUser(Queue& queue, const UserName& name,
                              absl::Time now);
  static void ForgetPastUsers(Queue& queue, absl::Time now);
  void UnshareNeeds(const Needs* needs);

  struct SharedNeeds {
    Needs needs;
    size_t lanes = 0;
  };

  OrderPolicy policy_;
  std::map<QueueName, Queue> queues_;
  absl::node_hash_map<std::string, SharedNeeds> needs_;
  Delayed delayed_;
};

}  // namespace trainyard::core
