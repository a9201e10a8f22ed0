// What the runner's tests share: a small learnable dataset, a spec for it, and
// a run whose events are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/test_files.h"
#include "workers/runner/events.h"
#include "workers/runner/spec.h"
#include "workers/runner/train_loop.h"

namespace trainyard::runner {

// IDX files train-* and t10k-* below `folder`: 28x28 images of four classes
// (a bright quadrant each) in noise.
void WriteQuadrants(const data::TempFolder& folder, uint32_t train_samples,
                    uint32_t test_samples);

// A job of few steps on `folder`'s data, working in folder/`work`.
Spec QuadrantsSpec(const data::TempFolder& folder, const std::string& work,
                   const std::string& architecture);

// Goes on by a second each time it is asked, so that every step is due for a
// metrics point.
class SteppingClock : public Clock {
 public:
  absl::Time Now() const override { return now_ += absl::Seconds(1); }

 private:
  mutable absl::Time now_ = absl::FromUnixSeconds(1000);
};

// Keeps events instead of writing them.
class KeptEvents : public Events {
 public:
  // `on_event` sees each as it comes.
  explicit KeptEvents(
      std::function<void(const nlohmann::json&)> on_event = nullptr)
      : Events(-1, EventTimeouts()), on_event_(std::move(on_event)) {}

  const std::vector<nlohmann::json>& all() const { return all_; }
  std::vector<nlohmann::json> Of(const std::string& event) const;

 private:
  absl::Status WriteLine(absl::string_view line, absl::Duration) override;

  const std::function<void(const nlohmann::json&)> on_event_;
  std::vector<nlohmann::json> all_;
};

// A run of Train or RunEnsemble with a SteppingClock.
struct TestRun {
  absl::StatusOr<RunEnd> end;
  std::vector<nlohmann::json> events;

  std::vector<nlohmann::json> Of(const std::string& event) const;
  // The loss of each step, as exact as JSON has it.
  std::vector<double> Losses() const;
};

// stop_at: asks to stop when the metrics of this step come; 0: never.
TestRun RunSpec(const Spec& spec, uint64_t stop_at = 0);

std::string FileContent(const std::string& path);

}  // namespace trainyard::runner
