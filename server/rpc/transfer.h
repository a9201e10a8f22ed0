// A blob on its way over a stream, between its peer and the disk: the parts
// that uploads and downloads share. At any moment it is either the peer's turn
// (one operation of gRPC is under way) or the disk's (one task on the
// executor), until it ends.
//
//   class Upload : public Transfer, public grpc::ServerReadReactor<…> { … };
//
// A transfer that does not move for the idle limit is cancelled, so that its
// slot is free again; clients go on where it was.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "server/rpc/pulse.h"

namespace trainyard::rpc {

// How many transfers there are.
struct TransferSlots {
  std::atomic<size_t> used = 0;
  size_t limit = 0;
};

class Transfer : public Pulse::Listener,
                 public std::enable_shared_from_this<Transfer> {
 public:
  // `method` is a literal.
  Transfer(const Ports& ports, absl::string_view method,
           absl::Duration idle_limit, TransferSlots* slots,
           grpc::CallbackServerContext* context);

 protected:
  // Asks the guard and takes a slot, or ends the transfer. Keeps it until
  // Done().
  bool Open(std::shared_ptr<Transfer> self);
  // For the reactor's OnDone; the last use of the transfer.
  void Done();

  // The peer's turn: call before the operation of gRPC is started.
  void AwaitPeer();
  // The disk's turn: `work` runs on the executor and either starts the next
  // operation or ends the transfer.
  void RunOnDisk(std::function<void()> work);
  // On the disk's turn, once.
  void End(const absl::Status& status);

  const Ports& ports() const { return ports_; }

  // The reactor's Finish.
  virtual void FinishCall(const grpc::Status& status) = 0;

 private:
  void OnPulse(absl::Time now) override;
  void OnClose() override;
  // Cancels the call if it is the peer's turn since `since` or longer.
  void Cancel(absl::Time since);

  const Ports& ports_;
  const absl::string_view method_;
  const absl::Duration idle_limit_;
  TransferSlots* const slots_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Transfer> self_;
  auth::Caller caller_;  // since Open
  bool has_slot_ = false;

  absl::Mutex mutex_;
  bool peers_turn_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time moved_ ABSL_GUARDED_BY(mutex_);
  // While the context is used outside the lock, End leaves its status here.
  bool cancelling_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::rpc
