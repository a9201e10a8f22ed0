// A server (the real core and the real round of the engine on a store in
// memory), workers, clients and the network between them, all in virtual time
// and all from one seed.
//
//   World world(seed);
//   world.RunWithFaults(absl::Seconds(20));
//   world.RunWithFlood();
//   world.RunUntilDone(absl::Minutes(5));
//
// Checks its invariants at each step, as gtest failures.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/core/command.h"
#include "server/core/decide.h"
#include "server/engine/decision_loop.h"
#include "server/engine/metrics.h"
#include "server/engine/subscriptions.h"
#include "tests/sim/ledger.h"
#include "tests/sim/model_worker.h"
#include "tests/sim/watched_store.h"

namespace trainyard::sim {

class World {
 public:
  explicit World(uint64_t seed);

  // Whether RunWithFlood() may be called: this world preempts nobody.
  bool HasFlood() const { return seed_ % 4 == 0; }
  void RunWithFaults(absl::Duration duration);
  // Without faults, while somebody submits more jobs of the highest priority
  // than the workers can do, until each job that waited was placed; a failure
  // when that takes longer than LongestWait().
  void RunWithFlood();
  // Without faults, until every job has ended and every worker has forgotten
  // its attempts; a failure when that takes longer.
  void RunUntilDone(absl::Duration longest);

 private:
  static constexpr size_t kJobs = 40;  // of the clients
  static constexpr int kTopPriority = 4;
  static constexpr int kMaxRetries = 2;
  static constexpr absl::Duration kAgeing = absl::Seconds(2);
  static constexpr absl::Duration kReserveAfter = absl::Seconds(3);
  // The longest run time limit, and what it takes to start and to stop.
  static constexpr absl::Duration kLongestAttempt = absl::Seconds(6);

  template <typename T>
  struct InFlight {
    absl::Time arrival;
    T message;
  };
  // A Synchronize stream: in order and without loss until it breaks, and then
  // what was under way is gone.
  struct Stream {
    std::deque<InFlight<Request>> to_server;
    std::deque<InFlight<Response>> to_worker;
    bool stalled = false;  // packets vanish, neither side has noticed
    // The server's end.
    std::optional<uint64_t> subscription;
    std::string instance;
    uint64_t sequence = 0;
    std::map<uint64_t, core::Revision> revisions;  // by sequence
  };
  struct Member {
    std::unique_ptr<ModelWorker> worker;
    std::unique_ptr<Stream> stream;  // null: not connected
    absl::Time reconnect_at;
    absl::Time last_said;
  };
  struct Submitted {
    core::SchedulingSpec scheduling;
    std::optional<core::JobId> job;  // acknowledged
    bool cancel_acknowledged = false;
  };
  // Who waits for the reply to a command.
  struct Caller {
    std::string request_id;   // of a submit
    std::string cancel;       // request_id of the job
    core::WorkerName worker;  // of a report
  };

  bool Chance(double probability);
  int Pick(int below);
  absl::Time Later();

  std::string DescribeStuck() const;
  void Step();
  void InjectFaults();
  void EndFaults();
  // The bound on starvation: after it, each of so many jobs that waited in the
  // clients' queues has had a place, whatever else was submitted since.
  absl::Duration LongestWait(size_t waiting) const;
  core::QueueSettings RandomSettings();
  core::SchedulingSpec RandomJob();
  void ActClients();
  // Keeps jobs of the highest priority waiting.
  void Flood();
  // Changes queues at random, or calms down.
  void ActOperator();
  // Takes every worker back into service and opens every queue.
  void CalmDown();
  void ActWorker(Member& member);
  void Receive(Member& member);
  void RunServer();
  void HandleReplies(const engine::Round& round);
  void HandleReply(const Caller& caller, const core::Reply& reply);
  void Submit(const std::string& request_id);
  void Post(core::Command command, Caller caller);
  void Break(Member& member);
  void StartServer();
  void CrashServer();

  void CheckAttemptsRunOnce();
  void CheckNothingIsLost();
  void CheckNoneWasLostSince(absl::Time calm);
  void CheckPreemptions();
  void CheckNoneWaitsBesideAnIdleDevice();
  // Whether devices of the worker may be kept for another job.
  bool MayBeKept(core::JobId job, const core::Worker& worker,
                 core::DeviceKind kind) const;
  void CheckStoreEqualsCluster();
  static void CheckSameJob(const core::Job& a, const core::Job& b);
  void CheckSameQueues(const core::Queues& stored, const core::Queues& live);
  // Usage in the cluster is that of the ledger.
  void CheckUsageIsAsCounted();
  // After all is done.
  void CheckNothingIsLeft();

  const uint64_t seed_;
  std::mt19937_64 random_;
  const absl::Time begin_ = absl::FromUnixSeconds(1'000'000);
  absl::Time now_ = begin_;
  bool faults_ = true;
  core::Policy policy_;
  engine::NoMetrics metrics_;
  WatchedStore store_;
  const absl::Duration half_life_;
  Ledger ledger_;
  // Null while the server is down.
  std::unique_ptr<engine::DecisionLoop> loop_;
  std::unique_ptr<engine::Subscriptions> subscriptions_;
  absl::Time server_up_at_;
  absl::Time store_fails_until_ = absl::InfinitePast();
  std::vector<core::Command> inbox_;
  std::vector<Caller> callers_;
  std::vector<Member> members_;
  std::map<std::string, Submitted> submitted_;
  std::set<std::string> unacknowledged_;
  absl::Time calm_ = absl::InfiniteFuture();  // nothing of the faults is left
  int cards_ = 0;                             // of the first worker
  double wide_jobs_ = 0;                      // part that needs several cards
  size_t clients_jobs_ = 0;
  size_t flood_jobs_ = 0;
  size_t steps_ = 0;
};

}  // namespace trainyard::sim
