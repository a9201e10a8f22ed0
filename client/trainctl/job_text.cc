#include "client/trainctl/job_text.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/units.h"
#include "client/trainctl/ensemble_text.h"
#include "client/trainctl/printer.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

std::string State(v1::Job::State state, bool colour) {
  const Cell cell = StateCell(state);
  return colour ? Paint(cell.text, cell.colour) : cell.text;
}

std::string Devices(const v1::Attempt& attempt) {
  return Printable(absl::StrJoin(attempt.devices(), ", "));
}

// "crash: …(exit status 1)", "out_of_memory: …(signal 9)".
std::string FailureText(const v1::Failure& failure, bool message) {
  std::string text =
      EnumText(*v1::Failure::Category_descriptor(), failure.category());
  if (message) absl::StrAppend(&text, ": ", Printable(failure.message()));
  if (failure.exit_code() > 0) {
    absl::StrAppend(&text, " (exit status ", failure.exit_code(), ")");
  } else if (failure.exit_code() < 0) {
    absl::StrAppend(&text, " (signal ", -failure.exit_code(), ")");
  }
  return text;
}

std::string ProgressText(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  const bool ensemble = job.spec().has_ensemble();
  std::string text =
      absl::StrCat(ensemble ? "batch " : "step ", progress.step());
  if (progress.total_steps() > 0) {
    absl::StrAppend(&text, " of ", progress.total_steps());
  }
  if (!ensemble) {
    absl::StrAppendFormat(&text, ", epoch %d, loss %.4f", progress.epoch(),
                          progress.loss());
  }
  return absl::StrCat(text, ", ", ShortNumber(progress.samples_per_second()),
                      " samples/s");
}

// Why an attempt ended that did not fail.
const char* Cause(v1::Attempt::Outcome outcome) {
  switch (outcome) {
    case v1::Attempt::OUTCOME_LOST:
      return ": its worker went away";
    case v1::Attempt::OUTCOME_PREEMPTED:
      return ": stopped for another job, or its worker was drained or left";
    default:
      return "";
  }
}

// " after 1m12s, at 2026-01-02 03:04:05", " since …".
std::string When(const v1::Attempt& attempt, absl::TimeZone zone) {
  const auto& from =
      attempt.has_start_time() ? attempt.start_time() : attempt.place_time();
  if (attempt.has_end_time()) {
    return absl::StrCat(
        " after ", ShortDuration(ToTime(attempt.end_time()) - ToTime(from)),
        ", at ", TimeText(attempt.end_time(), zone));
  }
  if (attempt.outcome() != v1::Attempt::OUTCOME_UNSPECIFIED ||
      !attempt.has_place_time()) {
    return "";
  }
  return absl::StrCat(" since ", TimeText(from, zone));
}

// `message` false: without the failure's message, which was told already. With
// a time zone: when, and why it ended.
std::string AttemptLine(const v1::Attempt& attempt, bool message = true,
                        const absl::TimeZone* zone = nullptr) {
  std::string line =
      absl::StrCat("attempt ", attempt.number(), " on ",
                   Printable(attempt.worker()), " (", Devices(attempt), ")");
  if (attempt.outcome() != v1::Attempt::OUTCOME_UNSPECIFIED) {
    absl::StrAppend(
        &line, " ",
        EnumText(*v1::Attempt::Outcome_descriptor(), attempt.outcome()));
  }
  if (zone != nullptr) absl::StrAppend(&line, When(attempt, *zone));
  if (attempt.has_failure()) {
    absl::StrAppend(&line, ": ", FailureText(attempt.failure(), message));
  } else if (zone != nullptr) {
    absl::StrAppend(&line, Cause(attempt.outcome()));
  }
  return line;
}

// Whether the job's reason holds the failure's message.
bool IsToldByReason(const v1::Job& job, const v1::Attempt& attempt) {
  return !attempt.failure().message().empty() &&
         absl::StrContains(job.reason(), attempt.failure().message());
}

// Without what was told already.
std::string StderrTail(const v1::Job& job) {
  if (job.attempts().empty()) return "";
  const std::string& tail = job.attempts().rbegin()->failure().stderr_tail();
  if (tail.empty()) return "";
  const std::string& message = job.attempts().rbegin()->failure().message();
  std::string text;
  std::vector<absl::string_view> lines = absl::StrSplit(tail, '\n');
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (const absl::string_view line : lines) {
    // A runner logs its error too: it was told already.
    if (!message.empty() && absl::StrContains(line, message)) continue;
    absl::StrAppend(&text, "    ", Printable(line), "\n");
  }
  return text.empty() ? "" : absl::StrCat("  last lines of stderr:\n", text);
}

std::string OutputTable(const v1::Job& job, bool colour) {
  Table table({"OUTPUT", "SIZE", "ARTIFACT"});
  for (const v1::Output& output : job.outputs()) {
    table.AddRow({{output.name()},
                  {FormatBytes(output.size_bytes())},
                  {output.artifact()}});
  }
  return table.Format(colour);
}

std::string RunTime(const v1::Job& job) {
  if (!job.has_end_time()) return "";
  const auto& from =
      job.has_start_time() ? job.start_time() : job.submit_time();
  return ShortDuration(ToTime(job.end_time()) - ToTime(from));
}

}  // namespace

bool IsFinal(v1::Job::State state) {
  return state == v1::Job::STATE_SUCCEEDED || state == v1::Job::STATE_FAILED ||
         state == v1::Job::STATE_CANCELLED;
}

std::string JobChange(const v1::Job& before, const v1::Job& now,
                      absl::TimeZone zone, bool colour) {
  std::string lines;
  const std::string name = Printable(now.name());
  for (const v1::Attempt& attempt : now.attempts()) {
    const bool ended = attempt.outcome() != v1::Attempt::OUTCOME_UNSPECIFIED;
    bool told = !ended;
    for (const v1::Attempt& old : before.attempts()) {
      told = told || (old.number() == attempt.number() &&
                      old.outcome() == attempt.outcome());
    }
    if (!told) absl::StrAppend(&lines, name, " ", AttemptLine(attempt), "\n");
  }
  if (now.cancel_requested() && !before.cancel_requested() &&
      !IsFinal(now.state())) {
    absl::StrAppend(&lines, name, " is asked to stop\n");
  }
  const bool placed = now.attempts_size() != before.attempts_size() &&
                      now.state() == v1::Job::STATE_STARTING;
  if (now.state() == before.state() && now.reason() == before.reason() &&
      !placed) {
    return lines;
  }
  absl::StrAppend(&lines, name, " ", State(now.state(), colour));
  const bool on_worker = now.state() == v1::Job::STATE_STARTING ||
                         now.state() == v1::Job::STATE_RUNNING;
  if (on_worker && !now.attempts().empty()) {
    absl::StrAppend(&lines, ": ", AttemptLine(*now.attempts().rbegin()));
  } else if (!now.reason().empty()) {
    absl::StrAppend(&lines, ": ", Printable(now.reason()));
  }
  return lines + "\n";
}

std::string JobOutcome(const v1::Job& job, bool colour) {
  const std::string run_time = RunTime(job);
  std::string text =
      absl::StrCat(Printable(job.name()), " ", State(job.state(), colour),
                   run_time.empty() ? "" : " after ", run_time);
  if (job.attempts_size() > 0) {
    const uint32_t attempts = job.attempts().rbegin()->number();
    absl::StrAppend(&text, ", ", attempts,
                    attempts == 1 ? " attempt" : " attempts");
  }
  if (!job.reason().empty()) {
    absl::StrAppend(&text, ": ", Printable(job.reason()));
  }
  text += "\n";
  if (job.state() == v1::Job::STATE_FAILED && !job.attempts().empty()) {
    const v1::Attempt& last = *job.attempts().rbegin();
    if (last.has_failure()) {
      absl::StrAppend(&text, "  ",
                      AttemptLine(last, !IsToldByReason(job, last)), "\n",
                      StderrTail(job));
    }
    absl::StrAppend(&text, "  all it printed: trainctl logs ", job.name(),
                    "\n");
  }
  if (!job.outputs().empty()) {
    absl::StrAppend(&text, OutputTable(job, colour));
    if (const std::string names = PredictionFiles(job);
        job.spec().has_ensemble() && !names.empty()) {
      absl::StrAppend(&text, "the predictions are in ", names, "\n");
    }
    absl::StrAppend(&text, "fetch them: trainctl artifacts download ",
                    Printable(job.name()), "\n");
  }
  return text;
}

std::string DescribeJob(const v1::Job& job, const std::string& result,
                        absl::Time now, absl::TimeZone zone, bool colour) {
  std::string text;
  const auto field = [&](absl::string_view name, const std::string& value) {
    if (!value.empty()) absl::StrAppendFormat(&text, "%-12s %s\n", name, value);
  };
  const auto time = [&](absl::string_view name, bool has,
                        const google::protobuf::Timestamp& at) {
    if (has) {
      field(name, absl::StrCat(TimeText(at, zone), " (",
                               ShortDuration(now - ToTime(at)), " ago)"));
    }
  };
  field("job", Printable(job.name()));
  field("name", Printable(job.spec().name()));
  field("state", State(job.state(), colour) +
                     (job.cancel_requested() && !IsFinal(job.state())
                          ? " (asked to stop)"
                          : ""));
  field("reason", Printable(job.reason()));
  if (!job.spec().queue().empty() && job.spec().queue() != "default") {
    field("queue", job.spec().queue());
  }
  if (!job.spec().user().empty()) field("user", job.spec().user());
  if (job.spec().priority() != 0) {
    field("priority", absl::StrCat(job.spec().priority()));
  }
  field("model", Printable(job.spec().training().model().architecture()));
  if (job.spec().has_ensemble()) {
    field("members", MemberList(job.spec().ensemble()));
    field("fusion", FusionText(job.spec().ensemble()));
  }
  time("submitted", job.has_submit_time(), job.submit_time());
  time("placed", job.has_start_time(), job.start_time());
  time("ended", job.has_end_time(), job.end_time());
  if (job.has_progress()) {
    field("progress", ProgressText(job));
  }
  if (job.has_checkpoint()) {
    field("checkpoint",
          absl::StrCat("step ", job.checkpoint().step(), ", ",
                       FormatBytes(job.checkpoint().size_bytes()), ", ",
                       Printable(job.checkpoint().artifact())));
  }
  for (const v1::Attempt& attempt : job.attempts()) {
    const bool last = &attempt == &*job.attempts().rbegin();
    field("",
          AttemptLine(attempt, !last || !IsToldByReason(job, attempt), &zone));
  }
  field("result", result);
  text += StderrTail(job);
  if (!job.outputs().empty()) text += OutputTable(job, colour);
  return text;
}

}  // namespace trainyard::trainctl
