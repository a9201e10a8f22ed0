// The engine: one thread owns the cluster. It drains a bounded inbox, decides
// and applies each command, commits all their records at once (group commit),
// then replies and notifies: nobody hears of what is not durable. If the commit
// fails, the cluster is loaded anew from the store and the callers get the
// error.
//
//   Engine engine(options, clock, &store, &metrics);
//   RETURN_IF_ERROR(engine.Start());
//   engine.Post(core::CancelJob{job, "typo"}, [](const core::Reply& reply) { …
//   }); engine.Stop();
//
// Thread-safe. Callbacks run on the engine's thread: they must be short and
// must not block or call back into Post with a wait.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "server/core/cluster.h"
#include "server/core/command.h"
#include "server/core/decide.h"
#include "server/engine/metrics.h"
#include "server/engine/store.h"

namespace trainyard::engine {

struct EngineOptions {
  core::Policy policy;
  size_t inbox_limit = 65536;  // commands waiting; more: RESOURCE_EXHAUSTED
  size_t inbox_limit_bytes = size_t{256} << 20;  // job specs waiting, the same
  size_t batch_limit = 4096;  // commands and submissions per commit
  // Real time between looks at leases, limits and backoffs, whatever the clock.
  absl::Duration tick_interval = absl::Milliseconds(200);
};

// Thread-safe.
class Engine {
 public:
  using ReplyCallback = absl::AnyInvocable<void(const core::Reply&)>;
  // Called after each commit that changed what the worker should be, with the
  // whole of it; and once when subscribed, as soon as the worker was heard. The
  // subscriber drops it when `instance` is not the process it speaks with.
  using DesiredCallback = std::function<void(const core::Desired&)>;
  // Called after each commit that changed a job, with the newest revision.
  using RevisionCallback = std::function<void(core::Revision)>;

  Engine(EngineOptions options, Clock* clock, Store* store, Metrics* metrics);
  ~Engine();  // stops
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Loads the cluster and starts the thread.
  absl::Status Start();
  // Ends the thread; commands still waiting get UNAVAILABLE. Idempotent.
  void Stop();

  // Takes the command or answers at once: RESOURCE_EXHAUSTED when the inbox is
  // full, UNAVAILABLE when stopped. The callback is called exactly once.
  void Post(core::Command command, ReplyCallback done);
  // Runs `read` on the engine's thread with the cluster as of now.
  // False: not taken (full or stopped), `read` is not called.
  bool Read(absl::AnyInvocable<void(const core::Cluster&)> read);

  // Sessions of workers. A new subscription for a worker replaces the old one.
  // Unsubscribe returns when the callback is not running and will not run.
  uint64_t SubscribeWorker(const core::WorkerName& worker,
                           DesiredCallback callback);
  void UnsubscribeWorker(uint64_t subscription);
  uint64_t SubscribeRevision(RevisionCallback callback);
  void UnsubscribeRevision(uint64_t subscription);

  // Newest committed revision.
  core::Revision revision() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trainyard::engine
