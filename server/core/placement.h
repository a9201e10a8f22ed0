// Which waiting job goes where: feasible → score → pick. One attempt per device
// at a time; a CPU device is one slot.
//
//   cluster.AdvanceTo(now);
//   PlacementPass pass(&cluster, now);
//   while (std::optional<Record> record = pass.Next()) {
//     RETURN_IF_ERROR(cluster.Apply(*record));
//   }
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/fair_order.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::core {

// Why a worker can or cannot take a job now, by one of its device alternatives.
enum class Verdict : uint8_t {
  kFits,
  kAway,      // silent, lost or left
  kClosed,    // draining or leaving
  kLabels,    // lacks a label
  kNoDevice,  // too few devices of the kind
  kMemory,    // enough devices, too few with the memory
  kBusy,      // enough with the memory, too few of them idle
};
Verdict Judge(const Worker& worker, const DeviceRequest& request,
              const Labels& worker_labels);

struct Placement {
  WorkerName worker;
  DeviceKind kind = DeviceKind::kCpu;
  std::vector<std::string> devices;
};

// Idle devices of one worker that are kept for a job: one that needs several
// and has waited long, so that no stream of smaller ones starves it; or one
// that others are preempted for.
struct Reservation {
  JobId job = {};
  WorkerName worker;
  absl::flat_hash_set<std::string> devices = {};
  // When the rest of what it needs is free at the latest, by the run time
  // limits of those who hold it; InfiniteFuture: one of them has no limit. A
  // job that is over by then may have the devices meanwhile (backfill).
  absl::Time until = absl::InfiniteFuture();
};

// What stands against the first alternative of a job.
struct Constraints {
  const Queue* queue = nullptr;  // its quota is kept; nullptr: any
  WorkerName avoid = {};         // taken only when no other one fits
  JobId job = {};                // who asks
  // Devices of these are not taken, but for the job's own.
  const std::vector<Reservation>* reservations = nullptr;
  absl::Time end = absl::InfiniteFuture();  // of the job, at the latest
};

bool HasLabels(const Worker& worker, const Labels& wanted);

// Whether the device would do for the request, were it idle: what its holder
// uses of the memory comes free with it.
bool Suits(const Device& device, const DeviceRequest& request);

// What is kept for the jobs that others are being preempted for.
std::vector<Reservation> ReserveClaims(const Cluster& cluster);

// Whether the queue's quota has room for the devices now.
bool QuotaAllows(const Queue& queue, const DeviceRequest& request,
                 absl::Time now);

// The place for the first alternative that some worker can satisfy now: the
// least loaded such worker; its devices with the least memory that suffices.
// nullopt: nothing fits.
std::optional<Placement> FindPlacement(const Fleet& fleet, const Needs& needs,
                                       absl::Time now,
                                       const Constraints& constraints = {});

// Where the job could first have all it needs, for the first alternative that
// its quota allows and some worker has when it is idle. nullopt: none has.
std::optional<Reservation> MakeReservation(const Cluster& cluster,
                                           const Job& job, absl::Time now);

// Places waiting jobs until no waiting job fits: first those that others were
// preempted for just now, then all in their order.
class PlacementPass {
 public:
  // Borrows the cluster, which is as of `now` (AdvanceTo).
  PlacementPass(const Cluster* cluster, absl::Time now);

  // An AttemptPlaced to be applied to the cluster before the next call, or
  // nullopt at the end.
  std::optional<Record> Next();

  const std::vector<Reservation>& reservations() const { return reservations_; }

 private:
  // Whether some worker has room for the lane's needs, or may come to be kept
  // for them.
  bool MayFit(const Lane& lane);
  std::optional<Record> Place(const Job& job);
  void ReserveFor(const Job& job);

  const Cluster* cluster_;
  absl::Time now_;
  absl::flat_hash_map<const Needs*, bool> fits_;
  std::vector<JobId> room_made_;    // for these; the last one comes first
  std::optional<FairOrder> order_;  // nullopt: not come to it yet
  std::vector<Reservation> reservations_;
  bool reserved_ = false;  // for a job that needs several devices
  // Something is no longer kept: those who were refused it are asked again.
  bool ask_again_ = false;
  bool placed_ = false;  // the head of order_'s lane, by Next()
};

}  // namespace trainyard::core
