// What an account (a queue, or a user in a queue) holds and has lately held,
// in devices by kind.
//
//   Usage usage(absl::Hours(24));
//   usage.Hold(DeviceKind::kCuda, 2, placed);
//   usage.Release(DeviceKind::kCuda, 2, placed, now);
//   usage.Mean(DeviceKind::kCuda, now)  // devices held lately
//   usage.Share(capacity, now)
//
// The mean over time forgets by half in each half-life, as Slurm's fair share
// does (PriorityDecayHalfLife): a device held for one half-life counts half,
// one held for ever counts one, one given back a half-life ago half of what it
// did. It is a sum over attempts, so a restart needs the sum of those that are
// over and nothing of the live ones but when they were placed.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::core {

// Of attempts that are over, of one kind of device.
struct PastUsage {
  double mean = 0;            // devices, as of `time`
  double device_seconds = 0;  // in all, since the account's last reset
  absl::Time time = absl::InfinitePast();
  friend bool operator==(const PastUsage&, const PastUsage&) = default;
};
using PastUsages = ByDeviceKind<PastUsage>;

class Usage {
 public:
  explicit Usage(absl::Duration half_life) : half_life_(half_life) {}

  // An attempt placed at `placed` takes devices.
  void Hold(DeviceKind kind, uint32_t devices, absl::Time placed);
  // It gives them back at `now`.
  void Release(DeviceKind kind, uint32_t devices, absl::Time placed,
               absl::Time now);

  uint32_t attempts() const { return attempts_; }
  uint32_t Held(DeviceKind kind) const { return OfKind(kind).held; }
  // Devices held on average, weighted towards `now`.
  double Mean(DeviceKind kind, absl::Time now) const;
  // Devices times hours since the last reset, of all kinds.
  double DeviceHours(absl::Time now) const;
  // The dominant share: devices held now and the mean of them, over what there
  // is, of the kind where that is most (dominant resource fairness: Ghodsi et
  // al., NSDI 2011). Kinds of which there is nothing count nothing.
  double Share(const DeviceCounts& capacity, absl::Time now) const;
  // Whether nothing is held and nothing to speak of was.
  bool IsNegligible(absl::Time now) const;

  // For the store.
  const PastUsage& past(DeviceKind kind) const { return OfKind(kind).past; }
  void Restore(DeviceKind kind, const PastUsage& past);
  // DeviceHours counts from `now` on; the mean stays.
  void ResetHours(absl::Time now);

 private:
  struct Meter {
    PastUsage past;
    uint32_t held = 0;
    // What the means of the devices held lack of one each, at `missing_time`:
    // the sum of 2^(-age / half-life).
    double missing = 0;
    absl::Time missing_time = absl::InfinitePast();
    // Sum of the times the devices held were placed at, in Unix seconds.
    double placed_seconds = 0;
  };

  // 2^(-age / half-life), 1 for a negative age.
  double Decay(absl::Duration age) const;
  // Device-seconds of what is held.
  static double HeldSeconds(const Meter& meter, absl::Time now);
  Meter& OfKind(DeviceKind kind);
  const Meter& OfKind(DeviceKind kind) const;

  absl::Duration half_life_;
  ByDeviceKind<Meter> meters_;
  uint32_t attempts_ = 0;
};

}  // namespace trainyard::core
