#include "workers/agent/agent.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace trainyard::agent {
namespace {

constexpr size_t kInboxLimit = 4096;
// The loop turns at least so often, so that Responds can tell.
constexpr absl::Duration kLongestTurn = absl::Seconds(5);

// "linux x86_64".
std::string Platform() {
  utsname name;
  if (uname(&name) != 0) return "unknown";
  return absl::AsciiStrToLower(absl::StrCat(name.sysname, " ", name.machine));
}

}  // namespace

Agent::Agent(AgentOptions options, WorkDir* work_dir, DataRoots data_roots,
             const Devices* devices, std::shared_ptr<grpc::Channel> channel,
             Clock* clock)
    : options_(std::move(options)),
      work_dir_(work_dir),
      data_roots_(std::move(data_roots)),
      devices_(devices),
      clock_(clock),
      inbox_(kInboxLimit),
      last_turn_seconds_(absl::ToUnixSeconds(clock->Now())),
      health_(work_dir_->health(), clock),
      core_(options_.core),
      artifacts_(channel, {.backoff = options_.backoff}, options_.seed + 1),
      cache_({.folder = work_dir_->cache(),
              .limit_bytes = options_.cache_limit_bytes},
             &artifacts_, clock),
      spool_({.folder = work_dir_->spool()}, clock),
      context_{.work_dir = work_dir_,
               .data_roots = &data_roots_,
               .cache = &cache_,
               .artifacts = &artifacts_,
               .spool = &spool_,
               .devices = devices_,
               .clock = clock,
               .runner = options_.runner,
               .cores = options_.cores,
               .post = [this](Event event) { inbox_.Post(std::move(event)); }},
      telemetry_(options_.name, channel, &spool_, options_.backoff,
                 options_.seed + 2),
      session_(MakeSessionOptions(), channel, MakeSessionCallbacks()) {}

Agent::~Agent() {
  inbox_.Close();  // nobody waits for the loop any more
  session_.Stop(absl::ZeroDuration());
  telemetry_.Stop();
  attempts_.clear();
}

SessionOptions Agent::MakeSessionOptions() const {
  return {.worker = options_.name,
          .instance_id = options_.instance_id,
          .version = options_.version,
          .platform = Platform(),
          .labels = options_.labels,
          .backoff = options_.backoff,
          .seed = options_.seed};
}

MachineReport Agent::DescribeMachine() const {
  MachineReport report;
  for (const auto& device : *devices_) {
    report.devices.push_back({device->Describe(), device->Sample(0)});
  }
  struct statvfs disk;
  if (statvfs(work_dir_->path().c_str(), &disk) == 0 && disk.f_blocks > 0) {
    report.disk = DiskSpace{
        .free_bytes = uint64_t{disk.f_bavail} * uint64_t{disk.f_frsize},
        .size_bytes = uint64_t{disk.f_blocks} * uint64_t{disk.f_frsize}};
  }
  return report;
}

SessionCallbacks Agent::MakeSessionCallbacks() {
  SessionCallbacks callbacks;
  callbacks.describe_machine = [this] { return DescribeMachine(); };
  callbacks.on_open = [this](StreamOpened event) { inbox_.Post(event); };
  callbacks.on_desired = [this](DesiredReceived event) {
    inbox_.Post(std::move(event));
  };
  // Warned of once, not at each try. The session's threads take turns.
  const auto warned = std::make_shared<std::optional<grpc::StatusCode>>();
  callbacks.on_connected = [this, warned] {
    warned->reset();
    health_.SetConnected();
    telemetry_.OnServerBack();
    if (options_.on_connected) options_.on_connected();
  };
  callbacks.on_disconnected = [this, warned](const grpc::Status& status) {
    if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
      replaced_ = true;
      inbox_.PostNow(LeaveRequested{});
      // What was adopted is over: nothing to wait for.
      if (!options_.adopted.empty()) inbox_.PostNow(LeaveRequested{});
    }
    const std::string reason =
        status.ok() ? "it ended the stream"
                    : ExplainConnectionError(status.error_message());
    health_.SetDisconnected(reason);
    const bool known = *warned == status.error_code();
    *warned = status.error_code();
    spdlog::log(known ? spdlog::level::debug : spdlog::level::warn,
                "no connection to the server {}: {}", options_.server, reason);
  };
  callbacks.on_sent = [this] {
    if (Responds(kHealthFileLife)) health_.Renew();
  };
  return callbacks;
}

absl::Status Agent::Start() {
  if (absl::Status status = cache_.Open(); !status.ok()) return status;
  if (!options_.adopted.empty()) Adopt();
  session_.Start();
  return absl::OkStatus();
}

bool Agent::Responds(absl::Duration patience) const {
  const absl::Time last = absl::FromUnixSeconds(last_turn_seconds_);
  return clock_->Now() - last <= std::max(patience, 2 * kLongestTurn);
}

void Agent::RequestLeave(absl::Time by) {
  asked_to_leave_ = true;
  inbox_.PostNow(LeaveRequested{by});
}

// Before the first word to the server, which is to hear of them in it.
void Agent::Adopt() {
  for (const KeptAttempt& kept : options_.adopted) {
    attempts_[kept.key] = std::make_unique<AttemptWork>(&context_, kept.key);
  }
  for (const Effect& effect :
       core_.Handle(clock_->Now(), Adopted{options_.adopted})) {
    Perform(effect);
  }
  published_ = core_.snapshot();
  session_.Publish(published_);
}

void Agent::Keep() {
  const Kept kept{options_.name, options_.instance_id, core_.Kept()};
  if (replaced_ || kept.attempts.empty()) {  // replaced: nobody would take it
    work_dir_->ForgetKept();
    return;
  }
  if (absl::Status status = work_dir_->Keep(kept); status.ok()) {
    spdlog::warn(
        "{} attempts could not be handed over: kept in {} for the next start",
        kept.attempts.size(), work_dir_->path());
  } else {
    spdlog::error("{} attempts could not be handed over, and not be kept: {}",
                  kept.attempts.size(), std::string(status.message()));
  }
}

absl::Status Agent::Run() {
  while (!core_.done()) {
    Event event = Tick{};
    inbox_.Next(std::min(core_.NextDeadline(), clock_->Now() + kLongestTurn),
                event);
    last_turn_seconds_ = absl::ToUnixSeconds(clock_->Now());
    if (const auto* released = std::get_if<Released>(&event)) {
      attempts_.erase(released->key);  // first: it may start anew at once
    }
    for (const Effect& effect : core_.Handle(clock_->Now(), event)) {
      Perform(effect);
    }
    Snapshot snapshot = core_.snapshot();
    if (snapshot == published_) continue;
    published_ = snapshot;
    session_.Publish(std::move(snapshot));
  }
  Keep();
  session_.Stop();
  if (!replaced_) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "another worker named \"", options_.name,
      "\" took this one's place: give each worker its own --name"));
}

void Agent::Perform(const Effect& effect) {
  std::visit([this](const auto& e) { Do(e); }, effect);
}

void Agent::Do(const Prepare& effect) {
  const AttemptKey& key = effect.attempt.key;
  spdlog::info("job {} attempt {}: starts", key.job, key.attempt);
  std::unique_ptr<AttemptWork>& work = attempts_[key];
  work = std::make_unique<AttemptWork>(&context_, key);
  work->Prepare(effect.attempt);
}

void Agent::Do(const Abort& effect) { attempts_.at(effect.key)->Abort(); }

void Agent::Do(const Spawn& effect) { attempts_.at(effect.key)->Spawn(); }

void Agent::Do(const SendStop& effect) {
  spdlog::info("job {} attempt {}: asked to stop", effect.key.job,
               effect.key.attempt);
  attempts_.at(effect.key)->SendStop();
}

void Agent::Do(const SendSignal& effect) {
  spdlog::info("job {} attempt {}: signal {}", effect.key.job,
               effect.key.attempt, effect.signal);
  attempts_.at(effect.key)->SendSignal(effect.signal);
}

void Agent::Do(const UploadCheckpoint& effect) {
  attempts_.at(effect.key)->UploadCheckpoint(effect);
}

void Agent::Do(const UploadOutputs& effect) {
  attempts_.at(effect.key)->UploadOutputs(effect.names);
}

void Agent::Do(const FlushTelemetry& effect) {
  spool_.WhenAcknowledged(effect.key, [this, key = effect.key] {
    inbox_.PostNow(TelemetryFlushed{key});
  });
}

void Agent::Do(const Remark& effect) {
  attempts_.at(effect.key)->Remark(effect.text);
}

void Agent::Do(const Release& effect) {
  const auto found = attempts_.find(effect.key);
  if (found == attempts_.end()) {  // it never started
    inbox_.PostNow(Released{effect.key});
    return;
  }
  spdlog::info("job {} attempt {}: over", effect.key.job, effect.key.attempt);
  found->second->Release();
}

}  // namespace trainyard::agent
