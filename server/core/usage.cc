#include "server/core/usage.h"

#include <algorithm>
#include <cmath>

namespace trainyard::core {
namespace {

// Devices; below it an account is as good as new.
constexpr double kNegligible = 1e-6;

double UnixSeconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

}  // namespace

double Usage::Decay(absl::Duration age) const {
  if (age <= absl::ZeroDuration()) return 1;
  return std::exp2(-absl::FDivDuration(age, half_life_));
}

void Usage::Hold(DeviceKind kind, uint32_t devices, absl::Time placed) {
  Meter& meter = OfKind(kind);
  const absl::Time time = std::max(meter.missing_time, placed);
  meter.missing = meter.missing * Decay(time - meter.missing_time) +
                  devices * Decay(time - placed);
  meter.missing_time = time;
  meter.placed_seconds += devices * UnixSeconds(placed);
  meter.held += devices;
  ++attempts_;
}

void Usage::Release(DeviceKind kind, uint32_t devices, absl::Time placed,
                    absl::Time now) {
  Meter& meter = OfKind(kind);
  const double missing = Decay(now - placed);
  meter.past.mean =
      meter.past.mean * Decay(now - meter.past.time) + devices * (1 - missing);
  meter.past.device_seconds += devices * absl::ToDoubleSeconds(now - placed);
  meter.past.time = now;
  meter.held -= devices;
  --attempts_;
  if (meter.held == 0) {  // no rounding error stays behind
    meter.missing = 0;
    meter.placed_seconds = 0;
    return;
  }
  meter.missing = std::max(
      meter.missing * Decay(now - meter.missing_time) - devices * missing, 0.0);
  meter.missing_time = now;
  meter.placed_seconds -= devices * UnixSeconds(placed);
}

double Usage::Mean(DeviceKind kind, absl::Time now) const {
  const Meter& meter = OfKind(kind);
  double mean = 0;
  if (meter.past.mean > 0) {
    mean += meter.past.mean * Decay(now - meter.past.time);
  }
  if (meter.held > 0) {
    mean += meter.held - meter.missing * Decay(now - meter.missing_time);
  }
  return std::max(mean, 0.0);
}

double Usage::HeldSeconds(const Meter& meter, absl::Time now) {
  return meter.held * UnixSeconds(now) - meter.placed_seconds;
}

double Usage::DeviceHours(absl::Time now) const {
  double seconds = 0;
  for (const Meter& meter : meters_) {
    seconds += meter.past.device_seconds + HeldSeconds(meter, now);
  }
  return std::max(seconds, 0.0) / 3600;
}

double Usage::Share(const DeviceCounts& capacity, absl::Time now) const {
  double share = 0;
  for (DeviceKind kind : kDeviceKinds) {
    const uint32_t all = capacity[static_cast<size_t>(kind)];
    if (all == 0) continue;
    share = std::max(share, (Held(kind) + Mean(kind, now)) / all);
  }
  return share;
}

bool Usage::IsNegligible(absl::Time now) const {
  if (attempts_ > 0) return false;
  return std::all_of(
      std::begin(kDeviceKinds), std::end(kDeviceKinds),
      [&](DeviceKind kind) { return Mean(kind, now) < kNegligible; });
}

void Usage::Restore(DeviceKind kind, const PastUsage& past) {
  OfKind(kind).past = past;
}

void Usage::ResetHours(absl::Time now) {
  for (Meter& meter : meters_) {
    // What is held counts from when it was placed: less by what that is now.
    meter.past.device_seconds = -HeldSeconds(meter, now);
  }
}

Usage::Meter& Usage::OfKind(DeviceKind kind) {
  const size_t index = static_cast<size_t>(kind);
  return meters_[index < meters_.size() ? index : 0];
}

const Usage::Meter& Usage::OfKind(DeviceKind kind) const {
  const size_t index = static_cast<size_t>(kind);
  return meters_[index < meters_.size() ? index : 0];
}

}  // namespace trainyard::core
