// Which stream speaks for which worker: one per name, the newest.
//
//   sessions.Open(name, session);     // replaces and ends an older one
//   sessions.Close(name, session, [&] { engine->Post(…); });
//
// Thread-safe.
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "server/core/types.h"

namespace trainyard::rpc {

class WorkerSessions {
 public:
  class Session {
   public:
    virtual ~Session() = default;
    // A newer stream of the same worker took over: end this one.
    virtual void OnReplaced() = 0;
  };

  void Open(const core::WorkerName& worker,
            const std::shared_ptr<Session>& session);
  // Calls `gone` if the session still spoke for the worker, before any newer
  // one can. `gone` must not call back.
  void Close(const core::WorkerName& worker, const Session* session,
             absl::FunctionRef<void()> gone);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<core::WorkerName, std::shared_ptr<Session>> sessions_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::rpc
