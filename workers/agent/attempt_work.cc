#include "workers/agent/attempt_work.h"

#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "workers/agent/convert.h"
#include "workers/agent/runner_spec.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

constexpr char kStopCommand[] = R"({"command":"stop"})";

// "cpu (Intel Xeon), 2 threads".
std::string DevicesText(const std::vector<DeviceInfo>& devices,
                        uint32_t threads) {
  std::vector<std::string> texts;
  for (const DeviceInfo& device : devices) {
    texts.push_back(device.model.empty()
                        ? device.id
                        : absl::StrCat(device.id, " (",
                                       BoundedUtf8(device.model, 200), ")"));
  }
  return absl::StrCat(absl::StrJoin(texts, " and "), ", ", threads,
                      threads == 1 ? " thread" : " threads");
}

}  // namespace

AttemptWork::AttemptWork(const AttemptContext* context, const AttemptKey& key)
    : context_(context),
      key_(key),
      folder_(context->work_dir->attempt(key)),
      thread_([this] { RunTasks(); }) {}

AttemptWork::~AttemptWork() {
  Abort();
  supervisor_.reset();
  {
    absl::MutexLock lock(&mutex_);
    tasks_.quit = true;
  }
  thread_.join();
}

void AttemptWork::Prepare(DesiredAttempt attempt) {
  absl::MutexLock lock(&mutex_);
  tasks_.prepare = std::move(attempt);
}

void AttemptWork::Abort() {
  cancellation_.Cancel();
  checkpoint_cancellation_.Cancel();
}

void AttemptWork::Spawn() {
  std::vector<std::string> environment =
      DeviceEnvironment(device_infos_, threads_);
  environment.push_back(absl::StrCat("TRAINYARD_JOB=", key_.job));
  environment.push_back(absl::StrCat("TRAINYARD_ATTEMPT=", key_.attempt));
  ProcessSpec spec{.argv = {context_->runner, "--spec", folder_ + "/spec.json"},
                   .environment = RunnerEnvironment(environment),
                   .directory = folder_ + "/work"};
  SupervisorCallbacks callbacks;
  callbacks.on_start = [this](pid_t pid) {
    WriteRunnerPid(folder_, pid);
    usage_ = std::make_unique<UsageSampler>(pid, devices_, threads_,
                                            context_->clock);
    story_.emplace(DevicesText(device_infos_, threads_));
  };
  callbacks.on_event = [this](RunnerEvent event) { OnEvent(std::move(event)); };
  callbacks.on_line = [this](v1::LogLine::Stream stream, std::string text) {
    OnLine(stream, input_names_.In(text));
  };
  callbacks.on_exit = [this](absl::Status status, ProcessExit exit) {
    exit.stderr_tail = input_names_.In(exit.stderr_tail);
    RunnerExited event{.key = key_, .exit = std::move(exit)};
    if (!status.ok()) {
      event.spawn_failure =
          Failure{.category = FailureCategory::kInfrastructure,
                  .message = std::string(status.message())};
    }
    context_->post(std::move(event));
  };
  supervisor_ =
      std::make_unique<Supervisor>(std::move(spec), std::move(callbacks));
}

void AttemptWork::SendStop() {
  if (supervisor_ != nullptr) supervisor_->SendCommand(kStopCommand);
}

void AttemptWork::SendSignal(int signal) {
  if (supervisor_ != nullptr) supervisor_->Signal(signal);
}

void AttemptWork::UploadCheckpoint(const struct UploadCheckpoint& upload) {
  struct UploadCheckpoint task = upload;
  if (!absl::StartsWith(task.path, "/")) {
    task.path = absl::StrCat(folder_, "/work/", task.path);
  }
  // The runner keeps only the newest two: a link of our own keeps this one.
  struct stat info;
  if (lstat(task.path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
      absl::StartsWith(task.path, folder_ + "/work/")) {
    const std::string own = absl::StrCat(folder_, "/uploads/", upload.upload);
    if (link(task.path.c_str(), own.c_str()) == 0) task.path = own;
  }
  absl::MutexLock lock(&mutex_);
  if (tasks_.checkpoint) unlink(tasks_.checkpoint->path.c_str());
  tasks_.checkpoint = std::move(task);
}

void AttemptWork::UploadOutputs(std::vector<std::string> names) {
  checkpoint_cancellation_.Cancel();
  absl::MutexLock lock(&mutex_);
  tasks_.checkpoint.reset();
  tasks_.outputs = std::move(names);
}

void AttemptWork::Remark(const std::string& text) {
  OnLine(v1::LogLine::STREAM_WORKER, BoundedUtf8(text, kMaxLogLineBytes));
}

void AttemptWork::Release() {
  Abort();
  absl::MutexLock lock(&mutex_);
  tasks_.release = true;
}

void AttemptWork::OnEvent(RunnerEvent event) {
  if (auto* terminal = std::get_if<TerminalEvent>(&event)) {
    terminal->message = input_names_.In(terminal->message);
  }
  if (const std::optional<std::string> text = story_->On(event)) Remark(*text);
  if (auto* point = std::get_if<v1::MetricPoint>(&event)) {
    usage_->Fill(*point);
    context_->spool->AddPoint(key_, std::move(*point));
  } else if (auto* checkpoint = std::get_if<CheckpointEvent>(&event)) {
    context_->post(CheckpointWritten{.key = key_,
                                     .step = checkpoint->step,
                                     .path = std::move(checkpoint->path)});
  } else if (auto* terminal = std::get_if<TerminalEvent>(&event)) {
    context_->post(RunnerReported{.key = key_, .event = std::move(*terminal)});
  } else if (std::holds_alternative<StartedEvent>(event)) {
    context_->post(RunnerStarted{.key = key_});
  }
}

void AttemptWork::OnLine(v1::LogLine::Stream stream, std::string text) {
  v1::LogLine line;
  *line.mutable_time() = ToProto(context_->clock->Now());
  line.set_stream(stream);
  line.set_text(std::move(text));
  context_->spool->AddLine(key_, std::move(line));
}

}  // namespace trainyard::agent
