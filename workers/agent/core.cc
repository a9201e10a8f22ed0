#include "workers/agent/core.h"

#include <signal.h>

#include <algorithm>
#include <utility>

namespace trainyard::agent {

std::vector<Effect> Core::Handle(absl::Time now, const Event& event) {
  now_ = now;
  effects_.clear();
  std::visit([this](const auto& e) { On(e); }, event);
  Reconcile();
  return std::exchange(effects_, {});
}

void Core::Reconcile() {
  StopUnwanted();
  for (auto& [key, attempt] : attempts_) Advance(key, attempt);
  StartListed();
  LeaveWhenIdle();
  if (leaving()) Leave();
}

void Core::LeaveWhenIdle() {
  if (!attempts_.empty()) {
    idle_since_ = absl::InfiniteFuture();
    return;
  }
  idle_since_ = std::min(idle_since_, now_);
  if (leaving() || now_ - idle_since_ < options_.idle_limit) return;
  left_idle_ = true;
  On(LeaveRequested{});
}

void Core::StopUnwanted() {
  if (!heard_) return;  // of what was adopted nothing is known yet
  for (auto& [key, attempt] : attempts_) {
    const auto wanted = std::find_if(
        desired_.begin(), desired_.end(),
        [&key = key](const DesiredAttempt& d) { return d.key == key; });
    Stop stop = leaving() ? Stop::kPreempt : Stop::kNone;
    if (wanted == desired_.end()) {
      stop = Stop::kForget;
    } else if (wanted->action == Action::kCancel) {
      stop = Stop::kCancel;
    } else if (wanted->action == Action::kPreempt) {
      stop = Stop::kPreempt;
    }
    if (stop > attempt.stop) RaiseStop(key, attempt, stop);
  }
}

void Core::RaiseStop(const AttemptKey& key, Attempt& attempt, Stop stop) {
  const Stop before = std::exchange(attempt.stop, stop);
  if (attempt.stage == Stage::kPreparing) {
    if (before == Stop::kNone) effects_.push_back(Abort{key});
  } else if (HasProcess(attempt)) {
    if (attempt.last_signal != 0) return;  // on its way already
    if (stop == Stop::kPreempt && !leaving_fast()) {
      effects_.push_back(SendStop{key});
      attempt.escalate_at =
          std::min(attempt.escalate_at, now_ + options_.checkpoint_grace);
    } else {
      Signal(key, attempt, SIGTERM);
    }
  } else if (attempt.stage == Stage::kWrappingUp && stop >= Stop::kCancel) {
    effects_.push_back(Abort{key});
  }
}

void Core::Signal(const AttemptKey& key, Attempt& attempt, int signal) {
  effects_.push_back(SendSignal{key, signal});
  attempt.last_signal = signal;
  attempt.escalate_at =
      now_ + (leaving_fast() ? options_.fast_grace : options_.grace);
}

void Core::Advance(const AttemptKey& key, Attempt& attempt) {
  if (attempt.stage == Stage::kWaiting) {
    if (attempt.stop != Stop::kNone) {
      attempt.verdict = {.outcome = attempt.stop == Stop::kPreempt
                                        ? Outcome::kPreempted
                                        : Outcome::kCancelled};
      attempt.stage = Stage::kWrappingUp;
    } else if (!DevicesBusy(key, attempt)) {
      attempt.stage = Stage::kStarting;
      effects_.push_back(Spawn{key});
    }
  }
  if (HasProcess(attempt) && now_ >= attempt.escalate_at) {
    Signal(key, attempt, attempt.last_signal == 0 ? SIGTERM : SIGKILL);
  }
  if (attempt.stage == Stage::kWrappingUp) WrapUp(key, attempt);
  if (attempt.stage == Stage::kFlushing && now_ >= attempt.flush_until) {
    attempt.stage = Stage::kEnded;
  }
  const bool at_rest =
      attempt.stage == Stage::kFlushing || attempt.stage == Stage::kEnded;
  if (at_rest && attempt.stop == Stop::kForget) {
    attempt.stage = Stage::kReleasing;
    effects_.push_back(Release{key});
  }
}

void Core::WrapUp(const AttemptKey& key, Attempt& attempt) {
  if (attempt.stop >= Stop::kCancel) {
    attempt.verdict = {.outcome = Outcome::kCancelled};
    attempt.outputs.clear();
  } else if (attempt.verdict.outcome == Outcome::kSucceeded) {
    if (!attempt.outputs_asked) {
      attempt.outputs_asked = true;
      effects_.push_back(UploadOutputs{key, attempt.terminal->outputs});
    }
    if (!attempt.outputs_done) return;
  } else if (attempt.uploads_done < attempt.uploads_asked && !attempt.aborted) {
    return;  // a retry resumes from it
  }
  attempt.stage = Stage::kFlushing;
  if (attempt.stop == Stop::kForget) return;
  attempt.flush_until = now_ + options_.flush_timeout;
  effects_.push_back(FlushTelemetry{key});
}

void Core::StartListed() {
  for (DesiredAttempt& wanted : desired_) {
    if (attempts_.contains(wanted.key)) continue;
    if (attempts_.size() >= options_.max_attempts) return;
    if (wanted.action == Action::kRun && wanted.spec.empty()) continue;
    Attempt& attempt = attempts_[wanted.key];
    attempt.devices = wanted.devices;
    if (wanted.action == Action::kRun && !leaving()) {
      effects_.push_back(Prepare{wanted});
    } else {  // nothing was started, so it is over
      attempt.stage = Stage::kEnded;
      attempt.verdict = {.outcome = wanted.action == Action::kCancel
                                        ? Outcome::kCancelled
                                        : Outcome::kPreempted};
    }
    wanted.spec.clear();
  }
}

void Core::Leave() {
  const bool any_process =
      std::any_of(attempts_.begin(), attempts_.end(),
                  [](const auto& entry) { return HasProcess(entry.second); });
  const bool asked = leave_requests_ > 0;  // else: until all is handed over
  if (asked && !any_process && leave_until_ == absl::InfiniteFuture()) {
    leave_until_ = now_ + options_.leave_timeout;
  }
  const bool all_ended = std::all_of(
      attempts_.begin(), attempts_.end(),
      [](const auto& entry) { return entry.second.stage == Stage::kEnded; });
  const bool nobody_to_tell = asked && stream_ == 0 && all_ended;
  if (done_ || !(attempts_.empty() || nobody_to_tell ||
                 (leaving_fast() && !any_process) || now_ >= leave_until_ ||
                 now_ >= leave_at_latest_)) {
    return;
  }
  done_ = true;
  effects_.push_back(Exit{});
}

absl::Time Core::NextDeadline() const {
  if (done_) return absl::InfiniteFuture();
  absl::Time next = std::min(leave_until_, leave_at_latest_);
  if (!leaving()) next = std::min(next, idle_since_ + options_.idle_limit);
  for (const auto& [key, attempt] : attempts_) {
    if (HasProcess(attempt)) next = std::min(next, attempt.escalate_at);
    if (attempt.stage == Stage::kFlushing) {
      next = std::min(next, attempt.flush_until);
    }
  }
  return next;
}

Snapshot Core::snapshot() const {
  Snapshot snapshot{.stream = stream_,
                    .applied_sequence = applied_sequence_,
                    .leaving = leaving()};
  for (const auto& [key, attempt] : attempts_) {
    if (attempt.stage == Stage::kReleasing) continue;
    AttemptStatus status{.key = key,
                         .phase = PhaseOf(attempt),
                         .checkpoint = attempt.checkpoint};
    if (status.phase == Phase::kEnded) {
      status.outcome = attempt.verdict.outcome;
      status.failure = attempt.verdict.failure;
      status.outputs = attempt.outputs;
    }
    snapshot.attempts.push_back(std::move(status));
  }
  return snapshot;
}

std::vector<KeptAttempt> Core::Kept() const {
  std::vector<KeptAttempt> kept;
  for (const auto& [key, attempt] : attempts_) {
    if (attempt.stop == Stop::kForget) continue;
    KeptAttempt& one = kept.emplace_back();
    one.key = key;
    one.checkpoint = attempt.checkpoint;
    if (attempt.stop >= Stop::kCancel) {
      one.outcome = Outcome::kCancelled;
    } else if (attempt.stage < Stage::kWrappingUp) {
      one.outcome = Outcome::kPreempted;  // its process ends with this one
    } else if (HasFinished(attempt)) {
      one.outcome = Outcome::kSucceeded;
      one.outputs = attempt.outputs;
      if (one.outputs.empty()) one.unsent_outputs = attempt.terminal->outputs;
    } else {
      one.outcome = attempt.verdict.outcome;
      one.failure = attempt.verdict.failure;
    }
    const uint64_t stored = attempt.checkpoint ? attempt.checkpoint->step : 0;
    if (attempt.newest && attempt.newest->step > stored &&
        (one.outcome == Outcome::kPreempted ||
         one.outcome == Outcome::kFailed)) {
      one.unsent = attempt.newest;
    }
  }
  return kept;
}

// Also one whose outputs were given up to leave faster.
bool Core::HasFinished(const Attempt& attempt) {
  return attempt.verdict.outcome == Outcome::kSucceeded ||
         (attempt.aborted && attempt.outputs_asked);
}

Phase Core::PhaseOf(const Attempt& attempt) {
  if (attempt.stage == Stage::kEnded) return Phase::kEnded;
  if (attempt.stop != Stop::kNone) return Phase::kStopping;
  return attempt.started ? Phase::kRunning : Phase::kPreparing;
}

bool Core::HasProcess(const Attempt& attempt) {
  return attempt.stage == Stage::kStarting || attempt.stage == Stage::kRunning;
}

Core::Attempt* Core::Find(const AttemptKey& key) {
  const auto found = attempts_.find(key);
  return found == attempts_.end() ? nullptr : &found->second;
}

bool Core::DevicesBusy(const AttemptKey& key, const Attempt& attempt) const {
  for (const auto& [other_key, other] : attempts_) {
    if (other_key == key || !HasProcess(other) || other.stop == Stop::kNone) {
      continue;
    }
    for (const std::string& device : attempt.devices) {
      if (std::find(other.devices.begin(), other.devices.end(), device) !=
          other.devices.end()) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace trainyard::agent
