#include "tests/sim/model_worker.h"

#include <set>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"

namespace trainyard::sim {

using core::Action;
using core::AttemptKey;
using core::Outcome;
using core::Phase;

Fate FateOf(uint64_t seed, const AttemptKey& key) {
  uint64_t x = seed ^ (key.job.value() * 0x9e3779b97f4a7c15u) ^ key.attempt;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  Fate fate;
  fate.steps = 1 + static_cast<int>(x % 30);
  switch ((x >> 8) % 8) {
    case 0:
      fate.outcome = Outcome::kFailed;
      break;
    case 1:
      fate.outcome = Outcome::kFailed;
      fate.category = core::FailureCategory::kUserError;
      break;
    default:
      break;
  }
  // Every eighth job hangs; its run time limit has to end it.
  if (key.job.value() % 8 == 0) fate.steps = -1;
  return fate;
}

ModelWorker::ModelWorker(uint64_t seed, core::WorkerName name,
                         std::vector<core::Device> devices,
                         absl::BitGenRef random)
    : seed_(seed),
      name_(std::move(name)),
      devices_(std::move(devices)),
      random_(random) {
  Restart();
}

void ModelWorker::Restart() {
  held_.clear();
  applied_sequence_ = 0;
  leaving = false;
  instance_ = absl::StrCat(name_.value(), "-", ++restarts_);
}

void ModelWorker::Apply(const Response& response) {
  std::set<AttemptKey> listed;
  for (const core::DesiredAttempt& desired : response.desired.attempts) {
    listed.insert(desired.key);
    if (!held_.contains(desired.key)) Start(desired);
    held_[desired.key].action = desired.action;
  }
  for (auto it = held_.begin(); it != held_.end();) {
    if (listed.contains(it->first)) {
      ++it;
      continue;
    }
    if (it->second.status.outcome == Outcome::kSucceeded) {
      forgotten_.push_back(it->first);
    }
    it = held_.erase(it);
  }
  applied_sequence_ = response.sequence;
}

void ModelWorker::Start(const core::DesiredAttempt& desired) {
  Held& held = held_[desired.key];
  held.status.key = desired.key;
  if (desired.action == Action::kCancel) {
    End(held, Outcome::kCancelled);
    return;
  }
  ++started_[desired.key];
  held.step = desired.checkpoint.has_value() ? desired.checkpoint->step : 0;
}

bool ModelWorker::Step() {
  bool news = false;
  for (auto& [key, held] : held_) news |= Advance(held);
  return news;
}

bool ModelWorker::Advance(Held& held) {
  if (held.status.phase == Phase::kEnded) return false;
  if (held.status.phase == Phase::kPreparing && held.action == Action::kRun &&
      held.stop == Action::kRun) {
    if (absl::Bernoulli(random_, 0.5)) return false;
    held.status.phase = Phase::kRunning;
    return true;
  }
  if (held.action > held.stop) {
    held.stop = held.action;  // nothing takes a stop back
    held.status.phase = Phase::kStopping;
    return true;
  }
  if (held.stop != Action::kRun) {
    if (absl::Bernoulli(random_, 0.5)) return false;
    if (held.stop == Action::kPreempt && held.step > 0) {
      held.status.checkpoint = core::Checkpoint{held.step, "sha256:", 1};
    }
    End(held, held.stop == Action::kPreempt ? Outcome::kPreempted
                                            : Outcome::kCancelled);
    return true;
  }
  const Fate fate = FateOf(seed_, held.status.key);
  ++held.step;
  if (++held.own_steps == fate.steps) {
    End(held, fate.outcome);
    return true;
  }
  if (held.step % 4 != 0) return false;
  held.status.checkpoint = core::Checkpoint{held.step, "sha256:", 1};
  return true;
}

void ModelWorker::End(Held& held, Outcome outcome) {
  held.status.phase = Phase::kEnded;
  held.status.outcome = outcome;
  if (outcome == Outcome::kFailed) {
    held.status.failure.emplace().category =
        FateOf(seed_, held.status.key).category;
  }
}

Request ModelWorker::Say() const {
  Request request;
  request.applied_sequence = applied_sequence_;
  request.report.worker = name_;
  request.report.instance = instance_;
  request.report.devices = devices_;
  request.report.leaving = leaving;
  for (const auto& [key, held] : held_) {
    request.report.attempts.push_back(held.status);
  }
  return request;
}

std::vector<AttemptKey> ModelWorker::TakeForgotten() {
  return std::exchange(forgotten_, {});
}

}  // namespace trainyard::sim
