#include "workers/agent/story.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

constexpr size_t kMaxOutputs = 10;
constexpr size_t kMaxTextBytes = 2048;

// 93322 as "93,322".
std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string NameOf(FailureCategory category) {
  switch (category) {
    case FailureCategory::kUserError:
      return "a fault of the job";
    case FailureCategory::kOutOfMemory:
      return "out of memory";
    case FailureCategory::kCrash:
      return "a crash";
    case FailureCategory::kInfrastructure:
      return "a fault of the machine";
  }
  return "a crash";
}

std::string OutputsText(const std::vector<std::string>& outputs) {
  if (outputs.empty()) return "no outputs";
  std::vector<std::string> names;
  for (const std::string& name : outputs) {
    if (names.size() == kMaxOutputs) break;
    names.push_back(BoundedUtf8(name, 200));
  }
  std::string text = absl::StrJoin(names, ", ");
  if (outputs.size() > names.size()) {
    absl::StrAppend(&text, " and ", outputs.size() - names.size(), " more");
  }
  return text;
}

}  // namespace

bool IsTold(uint64_t n) {
  uint64_t every = 1;
  for (uint64_t bound = 200; n > bound && bound < UINT64_MAX / 10;
       bound *= 10) {
    every *= 10;
  }
  return n % every == 0;
}

std::optional<std::string> Story::On(const RunnerEvent& event) {
  return std::visit([this](const auto& one) { return Tell(one); }, event);
}

std::optional<std::string> Story::Tell(const StartedEvent& event) {
  step_ = event.step;
  std::string text = absl::StrCat("started on ", devices_);
  if (event.parameters > 0) {
    absl::StrAppend(&text, ": ", Grouped(event.parameters), " parameters");
  }
  if (event.total_steps > 0) {
    absl::StrAppend(&text, event.parameters > 0 ? ", " : ": ",
                    Grouped(event.total_steps), " steps");
  }
  if (event.step > 0) {
    absl::StrAppend(&text, ", resumed after step ", Grouped(event.step));
  }
  return text;
}

// The point that ends an epoch has the validation's figures.
std::optional<std::string> Story::Tell(const v1::MetricPoint& point) {
  step_ = point.step();
  if (point.has_loss()) loss_ = point.loss();
  if (!point.has_validation_loss() && !point.has_validation_accuracy()) {
    return std::nullopt;
  }
  if (!IsTold(++epochs_)) return std::nullopt;
  // An ensemble has no epochs.
  std::string text = point.epoch() > 0
                         ? absl::StrCat("epoch ", point.epoch(), " ended at ")
                         : "";
  absl::StrAppend(&text, "step ", Grouped(point.step()));
  const char* separator = ": ";
  const auto append = [&text, &separator](const std::string& figure) {
    absl::StrAppend(&text, std::exchange(separator, ", "), figure);
  };
  if (loss_) append(absl::StrFormat("loss %.4g", *loss_));
  if (point.has_validation_loss()) {
    append(absl::StrFormat("validation loss %.4g", point.validation_loss()));
  }
  if (point.has_validation_accuracy()) {
    append(
        absl::StrFormat("accuracy %.2f %%", 100 * point.validation_accuracy()));
  }
  if (point.has_samples_per_second()) {
    append(absl::StrCat(Grouped(static_cast<uint64_t>(std::llround(
                            std::min(point.samples_per_second(), 1e15)))),
                        " samples/s"));
  }
  return text;
}

std::optional<std::string> Story::Tell(const CheckpointEvent& event) {
  step_ = event.step;
  if (!IsTold(++checkpoints_)) return std::nullopt;
  return absl::StrCat("checkpoint written at step ", Grouped(event.step));
}

std::optional<std::string> Story::Tell(const TerminalEvent& event) {
  if (std::exchange(ended_, true)) return std::nullopt;
  const std::string at = absl::StrCat(" at step ", Grouped(step_));
  switch (event.kind) {
    case TerminalEvent::Kind::kFinished:
      return absl::StrCat("finished", at, ": ", OutputsText(event.outputs));
    case TerminalEvent::Kind::kStopped:
      return absl::StrCat("stopped", at, " as asked");
    case TerminalEvent::Kind::kFailed:
      return absl::StrCat("failed", at, " by ", NameOf(event.category), ": ",
                          BoundedUtf8(event.message, kMaxTextBytes));
  }
  return std::nullopt;
}

}  // namespace trainyard::agent
