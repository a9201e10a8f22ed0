#include "server/rpc/names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace trainyard::rpc {
namespace {

constexpr absl::string_view kJobs = "jobs/";
constexpr absl::string_view kWorkers = "workers/";
constexpr absl::string_view kQueues = "queues/";
constexpr absl::string_view kArtifact = "sha256:";
constexpr size_t kMaxName = 63;
constexpr size_t kShownBytes = 100;

// A whole number from 1 in its only spelling.
bool ParseNumber(absl::string_view text, uint64_t* number) {
  if (text.empty() ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) {
    return false;
  }
  return text[0] != '0' && absl::SimpleAtoi(text, number) &&
         *number <= kMaxNumber;
}

absl::Status Wrong(absl::string_view field, absl::string_view text,
                   absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", Quoted(text), ": must be ", want));
}

constexpr absl::string_view kPageTokenWant =
    "the next_page_token of an earlier reply";

}  // namespace

std::string JobName(core::JobId job) {
  return absl::StrCat(kJobs, job.value());
}

std::string WorkerResourceName(const core::WorkerName& worker) {
  return absl::StrCat(kWorkers, worker.value());
}

std::string QueueResourceName(const core::QueueName& queue) {
  return absl::StrCat(kQueues, queue.value());
}

std::string AttemptName(const core::AttemptKey& key) {
  return absl::StrCat(kJobs, key.job.value(), "/attempts/", key.attempt);
}

absl::StatusOr<core::JobId> ParseJobName(absl::string_view field,
                                         absl::string_view text) {
  absl::string_view rest = text;
  uint64_t number = 0;
  if (absl::ConsumePrefix(&rest, kJobs) && ParseNumber(rest, &number)) {
    return core::JobId(number);
  }
  return Wrong(field, text, "\"jobs/\" and the job's number, such as jobs/17");
}

absl::StatusOr<core::WorkerName> ParseWorkerResourceName(
    absl::string_view field, absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, kWorkers) && IsWorkerName(rest)) {
    return core::WorkerName(std::string(rest));
  }
  return Wrong(field, text,
               "\"workers/\" and the worker's name (1 to 63 lower-case "
               "letters, digits and '-'), such as workers/mac-mini");
}

absl::StatusOr<core::QueueName> ParseQueueResourceName(absl::string_view field,
                                                       absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, kQueues) && IsQueueName(rest)) {
    return core::QueueName(std::string(rest));
  }
  return Wrong(field, text,
               "\"queues/\" and the queue's name (1 to 63 lower-case "
               "letters, digits and '-'), such as queues/default");
}

bool IsWorkerName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

bool IsQueueName(absl::string_view text) { return IsWorkerName(text); }

bool IsArtifactName(absl::string_view text) {
  return absl::ConsumePrefix(&text, kArtifact) && text.size() == 64 &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

std::string JobPageToken(core::JobId last) {
  return absl::StrCat("j", last.value());
}

absl::StatusOr<core::JobId> ParseJobPageToken(absl::string_view token) {
  if (token.empty()) return core::JobId();
  absl::string_view rest = token;
  uint64_t number = 0;
  if (absl::ConsumePrefix(&rest, "j") && ParseNumber(rest, &number)) {
    return core::JobId(number);
  }
  return Wrong("page_token", token, kPageTokenWant);
}

std::string WorkerPageToken(const core::WorkerName& last) {
  return absl::StrCat("w", last.value());
}

absl::StatusOr<core::WorkerName> ParseWorkerPageToken(absl::string_view token) {
  if (token.empty()) return core::WorkerName();
  absl::string_view rest = token;
  if (absl::ConsumePrefix(&rest, "w") && IsWorkerName(rest)) {
    return core::WorkerName(std::string(rest));
  }
  return Wrong("page_token", token, kPageTokenWant);
}

std::string Cursor(uint64_t position) {
  return position == 0 ? "" : absl::StrCat(position);
}

absl::StatusOr<uint64_t> ParseCursor(absl::string_view text) {
  uint64_t position = 0;
  if (text.empty() || ParseNumber(text, &position)) return position;
  return Wrong("cursor", text, "empty or the cursor of an earlier reply");
}

std::string Quoted(absl::string_view text) {
  size_t end = std::min(text.size(), kShownBytes);
  // Not within a character.
  while (end > 0 && end < text.size() &&
         (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, end)),
                      end < text.size() ? "…\"" : "\"");
}

}  // namespace trainyard::rpc
