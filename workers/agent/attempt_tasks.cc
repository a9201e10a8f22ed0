// What an AttemptWork's thread for files and transfers does.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "trainyard/v1/job.pb.h"
#include "workers/agent/attempt_work.h"
#include "workers/agent/inputs.h"
#include "workers/agent/manifest.h"
#include "workers/agent/runner_spec.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot create ", path, ": ", error.message()));
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot write ", path, ": ", strerror(errno)));
}

}  // namespace

AttemptWork::Tasks AttemptWork::AwaitTasks() {
  absl::MutexLock lock(&mutex_);
  const auto any = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return tasks_.prepare || tasks_.checkpoint || tasks_.outputs ||
           tasks_.release || tasks_.quit;
  };
  mutex_.Await(absl::Condition(&any));
  return std::exchange(tasks_, {});
}

void AttemptWork::RunTasks() {
  for (;;) {
    const Tasks tasks = AwaitTasks();
    if (tasks.quit) return;
    if (tasks.prepare) {
      Prepared answer{.key = key_};
      const absl::Status status = DoPrepare(*tasks.prepare);
      if (!status.ok()) answer.failure = FailureOf(status);
      context_->post(std::move(answer));
    }
    if (tasks.checkpoint) {
      CheckpointUploaded answer{.key = key_,
                                .upload = tasks.checkpoint->upload};
      absl::StatusOr<Checkpoint> stored = DoUploadCheckpoint(*tasks.checkpoint);
      if (stored.ok()) {
        answer.checkpoint = *std::move(stored);
      } else if (!absl::IsCancelled(stored.status())) {
        Remark(absl::StrCat(
            "the checkpoint of step ", tasks.checkpoint->step,
            " could not be stored: ", std::string(stored.status().message())));
      }
      context_->post(std::move(answer));
    }
    if (tasks.outputs) {
      OutputsUploaded answer{.key = key_};
      absl::StatusOr<std::vector<Output>> stored =
          DoUploadOutputs(*tasks.outputs);
      if (stored.ok()) {
        answer.outputs = *std::move(stored);
      } else {
        answer.failure = FailureOf(stored.status());
        // A wrong name is the runner's fault, all else the machine's.
        answer.failure->category = absl::IsInvalidArgument(stored.status())
                                       ? FailureCategory::kCrash
                                       : FailureCategory::kInfrastructure;
      }
      context_->post(std::move(answer));
    }
    if (tasks.release) {
      DoRelease();
      return;
    }
  }
}

absl::Status AttemptWork::DoPrepare(const DesiredAttempt& attempt) {
  v1::JobSpec spec;
  if (!spec.ParseFromString(attempt.spec)) {
    return absl::InternalError("the server's job spec cannot be read");
  }
  RETURN_IF_ERROR(FindDevices(attempt.devices));
  const v1::JobSpec asked = spec;
  ASSIGN_OR_RETURN(pins_, ResolveInputs(*context_->data_roots, context_->cache,
                                        &cancellation_, spec));
  input_names_ = InputNames(context_->work_dir->cache(), asked, spec);
  if (attempt.checkpoint) RETURN_IF_ERROR(FetchCheckpoint(*attempt.checkpoint));
  // A leftover would be taken for this attempt's own results.
  std::error_code error;
  fs::remove_all(folder_, error);
  RETURN_IF_ERROR(MakeFolder(folder_ + "/work"));
  RETURN_IF_ERROR(MakeFolder(folder_ + "/uploads"));
  std::vector<DeviceKind> kinds;
  for (const DeviceInfo& device : device_infos_) kinds.push_back(device.kind);
  return WriteFile(folder_ + "/spec.json",
                   FormatRunnerSpec({.key = key_,
                                     .job = std::move(spec),
                                     .devices = std::move(kinds),
                                     .threads = threads_,
                                     .work_dir = folder_ + "/work",
                                     .resume = resume_}));
}

absl::Status AttemptWork::FetchCheckpoint(const Checkpoint& checkpoint) {
  absl::StatusOr<InputCache::Pin> pin =
      context_->cache->GetAny(checkpoint.artifact, &cancellation_);
  if (!pin.ok()) {  // not the job's fault, whatever the code
    return absl::InternalError(
        absl::StrCat("cannot get the checkpoint of step ", checkpoint.step,
                     " to resume from: ", std::string(pin.status().message())));
  }
  resume_ = pin->path();
  pins_.push_back(*std::move(pin));
  return absl::OkStatus();
}

absl::Status AttemptWork::FindDevices(const std::vector<std::string>& ids) {
  std::vector<DeviceInfo> all;
  for (const auto& device : *context_->devices)
    all.push_back(device->Describe());
  for (const std::string& id : ids) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].id != id) continue;
      devices_.push_back((*context_->devices)[i].get());
      device_infos_.push_back(all[i]);
    }
  }
  if (ids.empty() || devices_.size() != ids.size()) {
    return absl::InternalError(
        "the server gave devices that this worker does not have");
  }
  threads_ = ThreadsFor(device_infos_, all, context_->cores);
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> AttemptWork::DoUploadCheckpoint(
    const struct UploadCheckpoint& upload) {
  std::error_code error;
  const std::string real = fs::canonical(upload.path, error).string();
  if (error || !absl::StartsWith(real, folder_ + "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", upload.path,
                     "\" must be a file or folder below the work folder"));
  }
  const std::string name =
      absl::StrCat("job-", key_.job, "-step-", upload.step, ".checkpoint");
  absl::StatusOr<StoredBlob> blob =
      fs::is_directory(real, error)
          ? context_->artifacts->UploadFolder(real, name,
                                              &checkpoint_cancellation_)
          : context_->artifacts->UploadFile(real, name,
                                            &checkpoint_cancellation_);
  if (absl::StartsWith(real, folder_ + "/uploads/")) unlink(real.c_str());
  if (!blob.ok()) return blob.status();
  return Checkpoint{upload.step, blob->artifact, blob->size_bytes};
}

absl::StatusOr<std::vector<Output>> AttemptWork::DoUploadOutputs(
    const std::vector<std::string>& names) {
  std::vector<Output> outputs;
  const std::string root = folder_ + "/work/output";
  for (const std::string& name : names) {
    RETURN_IF_ERROR(WithContext(CheckRelativePath(name), "output"));
    std::error_code error;
    const std::string path = root + "/" + name;
    const std::string real = fs::canonical(path, error).string();
    if (error || real != path) {  // absent, or a link leads elsewhere
      return absl::InvalidArgumentError(
          absl::StrCat("output \"", BoundedUtf8(name, 200),
                       "\": must be a file below output/"));
    }
    absl::StatusOr<StoredBlob> blob =
        context_->artifacts->UploadFile(path, name, &cancellation_);
    if (!blob.ok()) {
      return WithContext(blob.status(),
                         absl::StrCat("output \"", BoundedUtf8(name, 200),
                                      "\" could not be stored"));
    }
    outputs.push_back(
        {BoundedUtf8(name, 255), blob->artifact, blob->size_bytes});
  }
  return outputs;
}

void AttemptWork::DoRelease() {
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) spdlog::warn("cannot remove {}: {}", folder_, error.message());
  pins_.clear();
  context_->spool->Release(key_);
  context_->post(Released{.key = key_});
}

}  // namespace trainyard::agent
