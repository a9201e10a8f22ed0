// What each event changes; what follows from it is in core.cc.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "workers/agent/core.h"

namespace trainyard::agent {

void Core::On(const StreamOpened& event) {
  stream_ = event.stream;
  applied_sequence_ = 0;
}

void Core::On(const Adopted& event) {
  handing_over_ = true;
  for (const KeptAttempt& kept : event.attempts) {
    Attempt& attempt = attempts_[kept.key];
    attempt.stage = Stage::kWrappingUp;
    attempt.stop =
        kept.outcome == Outcome::kCancelled ? Stop::kCancel : Stop::kPreempt;
    attempt.verdict = {.outcome = kept.outcome, .failure = kept.failure};
    attempt.checkpoint = kept.checkpoint;
    if (kept.outcome == Outcome::kSucceeded) {
      attempt.outputs = kept.outputs;
      attempt.outputs_asked = kept.unsent_outputs.empty();
      attempt.outputs_done = attempt.outputs_asked;
      attempt.terminal = {.kind = TerminalEvent::Kind::kFinished,
                          .outputs = kept.unsent_outputs};
    }
    attempt.newest = kept.unsent;
    if (!kept.unsent) continue;
    effects_.push_back(UploadCheckpoint{kept.key, ++attempt.uploads_asked,
                                        kept.unsent->step, kept.unsent->path});
  }
}

void Core::On(const DesiredReceived& event) {
  if (event.stream != stream_) return;  // of a stream that broke
  heard_ = true;
  applied_sequence_ = event.sequence;
  std::vector<DesiredAttempt> previous =
      std::exchange(desired_, event.attempts);
  // The server sends a spec once; one that could not be started yet is kept.
  for (DesiredAttempt& wanted : desired_) {
    if (!wanted.spec.empty()) continue;
    for (DesiredAttempt& known : previous) {
      if (known.key == wanted.key) wanted.spec = std::move(known.spec);
    }
  }
}

void Core::On(const Prepared& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || attempt->stage != Stage::kPreparing) return;
  if (attempt->stop == Stop::kNone && event.failure) {
    attempt->verdict = {.outcome = Outcome::kFailed, .failure = event.failure};
    attempt->stage = Stage::kWrappingUp;
  } else {
    attempt->stage = Stage::kWaiting;
  }
}

void Core::On(const RunnerStarted& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || attempt->stage != Stage::kStarting) return;
  attempt->stage = Stage::kRunning;
  attempt->started = true;
}

void Core::On(const CheckpointWritten& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || !HasProcess(*attempt)) return;
  attempt->newest = {event.step, event.path};
  if (attempt->stop > Stop::kPreempt || leaving_fast()) return;
  effects_.push_back(UploadCheckpoint{event.key, ++attempt->uploads_asked,
                                      event.step, event.path});
}

void Core::On(const RunnerReported& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || !HasProcess(*attempt)) return;
  if (attempt->terminal) return;  // the first one counts
  attempt->terminal = event.event;
  attempt->escalate_at = std::min(attempt->escalate_at, now_ + options_.grace);
}

void Core::On(const RunnerExited& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || !HasProcess(*attempt)) return;
  const Asked asked{.preempt = attempt->stop == Stop::kPreempt,
                    .cancel = attempt->stop >= Stop::kCancel,
                    .signalled = attempt->last_signal != 0};
  if (!event.spawn_failure) {
    attempt->verdict = Judge(attempt->terminal, event.exit, asked);
  } else if (attempt->stop == Stop::kNone) {
    attempt->verdict = {.outcome = Outcome::kFailed,
                        .failure = event.spawn_failure};
  } else {
    attempt->verdict = {.outcome = asked.preempt ? Outcome::kPreempted
                                                 : Outcome::kCancelled};
  }
  if (!attempt->verdict.remark.empty()) {
    effects_.push_back(Remark{event.key, attempt->verdict.remark});
  }
  attempt->stage = Stage::kWrappingUp;
}

void Core::On(const CheckpointUploaded& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr) return;
  attempt->uploads_done = std::max(attempt->uploads_done, event.upload);
  if (!event.checkpoint || attempt->stage >= Stage::kEnded) return;
  if (!attempt->checkpoint ||
      attempt->checkpoint->step <= event.checkpoint->step) {
    attempt->checkpoint = event.checkpoint;
  }
}

void Core::On(const OutputsUploaded& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || attempt->stage != Stage::kWrappingUp) return;
  attempt->outputs_done = true;
  if (!event.failure) {
    attempt->outputs = event.outputs;
  } else if (attempt->aborted) {
    attempt->verdict = {.outcome = Outcome::kPreempted};
  } else {
    attempt->verdict = {.outcome = Outcome::kFailed, .failure = event.failure};
  }
}

void Core::On(const TelemetryFlushed& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || attempt->stage != Stage::kFlushing) return;
  attempt->stage = Stage::kEnded;
}

void Core::On(const Released& event) {
  Attempt* attempt = Find(event.key);
  if (attempt == nullptr || attempt->stage != Stage::kReleasing) return;
  attempts_.erase(event.key);
}

void Core::On(const LeaveRequested& event) {
  if (++leave_requests_ == 1) leave_at_latest_ = now_ + options_.leave_limit;
  leave_at_latest_ = std::min(leave_at_latest_, event.by);
  if (!leaving_fast()) return;
  for (auto& [key, attempt] : attempts_) {
    if (HasProcess(attempt)) {
      if (attempt.last_signal == 0) Signal(key, attempt, SIGTERM);
      attempt.escalate_at =
          std::min(attempt.escalate_at, now_ + options_.fast_grace);
    } else if (attempt.stage == Stage::kWrappingUp && !attempt.aborted) {
      attempt.aborted = true;
      effects_.push_back(Abort{key});
    }
  }
}

}  // namespace trainyard::agent
