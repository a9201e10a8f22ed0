#include "workers/agent/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/private_file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/agent/fd.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxBytes = 64 * 1024 * 1024;

constexpr std::pair<Outcome, const char*> kOutcomes[] = {
    {Outcome::kSucceeded, "succeeded"},
    {Outcome::kFailed, "failed"},
    {Outcome::kCancelled, "cancelled"},
    {Outcome::kPreempted, "preempted"}};
constexpr std::pair<FailureCategory, const char*> kCategories[] = {
    {FailureCategory::kUserError, "user_error"},
    {FailureCategory::kOutOfMemory, "out_of_memory"},
    {FailureCategory::kCrash, "crash"},
    {FailureCategory::kInfrastructure, "infrastructure"}};

template <typename Names, typename Value>
const char* NameIn(const Names& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "";
}

// Throws, as nlohmann's own accessors do: ReadKept catches.
template <typename Value, size_t N>
Value ValueIn(const std::pair<Value, const char*> (&names)[N],
              const Json& json) {
  for (const auto& [value, name] : names) {
    if (json.get_ref<const std::string&>() == name) return value;
  }
  throw std::invalid_argument(absl::StrCat("unknown value ", json.dump()));
}

Json ToJson(const KeptAttempt& attempt) {
  Json json = {{"job", attempt.key.job},
               {"attempt", attempt.key.attempt},
               {"outcome", NameIn(kOutcomes, attempt.outcome)},
               {"outputs", Json::array()},
               {"unsent_outputs", attempt.unsent_outputs}};
  if (attempt.failure) {
    json["failure"] = {
        {"category", NameIn(kCategories, attempt.failure->category)},
        {"message", attempt.failure->message},
        {"stderr_tail", attempt.failure->stderr_tail},
        {"exit_code", attempt.failure->exit_code}};
  }
  if (attempt.checkpoint) {
    json["checkpoint"] = {{"step", attempt.checkpoint->step},
                          {"artifact", attempt.checkpoint->artifact},
                          {"size_bytes", attempt.checkpoint->size_bytes}};
  }
  if (attempt.unsent) {
    json["unsent_checkpoint"] = {{"step", attempt.unsent->step},
                                 {"path", attempt.unsent->path}};
  }
  for (const Output& output : attempt.outputs) {
    json["outputs"].push_back({{"name", output.name},
                               {"artifact", output.artifact},
                               {"size_bytes", output.size_bytes}});
  }
  return json;
}

KeptAttempt AttemptFrom(const Json& json) {
  KeptAttempt attempt;
  json.at("job").get_to(attempt.key.job);
  json.at("attempt").get_to(attempt.key.attempt);
  attempt.outcome = ValueIn(kOutcomes, json.at("outcome"));
  json.at("unsent_outputs").get_to(attempt.unsent_outputs);
  if (const auto found = json.find("failure"); found != json.end()) {
    Failure& failure = attempt.failure.emplace();
    failure.category = ValueIn(kCategories, found->at("category"));
    found->at("message").get_to(failure.message);
    found->at("stderr_tail").get_to(failure.stderr_tail);
    found->at("exit_code").get_to(failure.exit_code);
  }
  if (const auto found = json.find("checkpoint"); found != json.end()) {
    Checkpoint& checkpoint = attempt.checkpoint.emplace();
    found->at("step").get_to(checkpoint.step);
    found->at("artifact").get_to(checkpoint.artifact);
    found->at("size_bytes").get_to(checkpoint.size_bytes);
  }
  if (const auto found = json.find("unsent_checkpoint"); found != json.end()) {
    LocalCheckpoint& unsent = attempt.unsent.emplace();
    found->at("step").get_to(unsent.step);
    found->at("path").get_to(unsent.path);
  }
  for (const Json& from : json.at("outputs")) {
    Output& output = attempt.outputs.emplace_back();
    from.at("name").get_to(output.name);
    from.at("artifact").get_to(output.artifact);
    from.at("size_bytes").get_to(output.size_bytes);
  }
  return attempt;
}

absl::Status Sync(const fs::path& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.valid() && fsync(file.get()) == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot flush ", path.string(), ": ", strerror(errno)));
}

}  // namespace

absl::Status WriteKept(const std::string& path, const Kept& kept) {
  Json json = {{"trainyard_kept", kVersion},
               {"worker", kept.worker},
               {"instance", kept.instance},
               {"attempts", Json::array()}};
  for (const KeptAttempt& attempt : kept.attempts) {
    json["attempts"].push_back(ToJson(attempt));
  }
  // Paths and last words need not be UTF-8.
  return WritePrivateFile(
      path, json.dump(1, ' ', false, Json::error_handler_t::replace),
      /*replace=*/true);
}

absl::StatusOr<std::optional<Kept>> ReadKept(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxBytes);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  RETURN_IF_ERROR(text.status());
  try {
    const Json json = Json::parse(*text);
    if (json.at("trainyard_kept") != kVersion) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": of another version of Trainyard"));
    }
    Kept kept;
    json.at("worker").get_to(kept.worker);
    json.at("instance").get_to(kept.instance);
    for (const Json& attempt : json.at("attempts")) {
      kept.attempts.push_back(AttemptFrom(attempt));
    }
    return kept;
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": damaged: ", error.what()));
  }
}

absl::Status SyncTree(const std::string& path) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(path, error), end;
       !error && it != end; it.increment(error)) {
    const fs::file_type type = it->symlink_status(error).type();
    if (type != fs::file_type::regular && type != fs::file_type::directory) {
      continue;
    }
    RETURN_IF_ERROR(Sync(it->path()));
  }
  if (error) {
    return absl::InternalError(
        absl::StrCat("cannot read ", path, ": ", error.message()));
  }
  RETURN_IF_ERROR(Sync(path));
  return Sync(fs::path(path).parent_path());
}

}  // namespace trainyard::agent
