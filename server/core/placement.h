// Which waiting job goes where: feasible → score → pick. One attempt per device
// at a time; a CPU device is one slot.
//
//   PlacementPass pass(&cluster, now);
//   while (std::optional<Record> record = pass.Next()) {
//     RETURN_IF_ERROR(cluster.Apply(*record));
//   }
#pragma once

#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/core/cluster.h"
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
  std::vector<std::string> devices;
};

// The place for the first alternative that some worker can satisfy now: the
// least loaded such worker, `avoid` only when no other one fits; its devices
// with the least memory that suffices. nullopt: nothing fits.
std::optional<Placement> FindPlacement(const Fleet& fleet, const Needs& needs,
                                       const WorkerName& avoid);

// Places waiting jobs in their order until no waiting job fits.
class PlacementPass {
 public:
  // Borrows the cluster.
  PlacementPass(const Cluster* cluster, absl::Time now);

  // An AttemptPlaced to be applied to the cluster before the next call, or
  // nullopt at the end.
  std::optional<Record> Next();

 private:
  struct Candidate {
    QueueKey key;
    const Lane* lane;
    bool delayed;  // its backoff is over, but it is not in its lane yet
    friend bool operator<(const Candidate& a, const Candidate& b) {
      return b.key < a.key;  // the top of the heap is placed first
    }
  };

  void PushHead(const Lane* lane);

  const Cluster* cluster_;
  absl::Time now_;
  std::priority_queue<Candidate> candidates_;
  const Lane* placed_lane_ = nullptr;  // whose head was taken by Next()
};

}  // namespace trainyard::core
