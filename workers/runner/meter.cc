#include "workers/runner/meter.h"

#include <algorithm>

#include "workers/runner/usage.h"

namespace trainyard::runner {
namespace {

constexpr double kNewestWeight = 0.3;

}  // namespace

bool HasPassed(absl::Duration period, absl::Time since, absl::Time now) {
  return now - since >= period || now < since;
}

Meter::Meter(Clock* clock, const MeterOptions& options)
    : clock_(clock), options_(options), begun_(clock->Now()) {
  StartInterval();
}

void Meter::StartInterval() {
  now_ = {.start = clock_->Now(),
          .cpu_at_start = CpuSecondsUsed(),
          .waited_at_start = waited_};
}

void Meter::AddStep(uint32_t samples, double waited_seconds) {
  waited_ = waited_seconds;
  ++now_.steps;
  now_.samples += samples;
}

bool Meter::Due() const {
  return HasPassed(options_.period, now_.start, clock_->Now());
}

IntervalFigures Meter::CloseInterval() {
  const double seconds = absl::ToDoubleSeconds(clock_->Now() - now_.start);
  const double cpu = CpuSecondsUsed() - now_.cpu_at_start;
  IntervalFigures figures;
  figures.steps = now_.steps;
  if (now_.steps > 0 && seconds > 0) {
    const auto steps = static_cast<double>(now_.steps);
    figures.samples_per_second = static_cast<double>(now_.samples) / seconds;
    figures.data_wait_seconds = (waited_ - now_.waited_at_start) / steps;
    figures.step_seconds = seconds / steps;
    figures.cpu_utilization = CpuShare(cpu, seconds);
    recent_step_ =
        recent_step_.has_value()
            ? *recent_step_ +
                  kNewestWeight * (*figures.step_seconds - *recent_step_)
            : *figures.step_seconds;
    steps_ += now_.steps;
    samples_ += now_.samples;
    training_seconds_ += seconds;
    cpu_seconds_ += cpu;
  }
  return figures;
}

std::optional<double> Meter::samples_per_second() const {
  if (training_seconds_ <= 0) return std::nullopt;
  return static_cast<double>(samples_) / training_seconds_;
}

std::optional<double> Meter::cpu_utilization() const {
  if (training_seconds_ <= 0) return std::nullopt;
  return CpuShare(cpu_seconds_, training_seconds_);
}

double Meter::total_seconds() const {
  return std::max(0.0, absl::ToDoubleSeconds(clock_->Now() - begun_));
}

double Meter::CpuShare(double cpu_seconds, double seconds) const {
  return std::clamp(cpu_seconds / (seconds * options_.threads), 0.0, 1.0);
}

}  // namespace trainyard::runner
