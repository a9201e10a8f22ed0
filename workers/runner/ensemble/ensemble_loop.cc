#include "workers/runner/ensemble/ensemble_loop.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "workers/runner/data/loader.h"
#include "workers/runner/data/sampler.h"
#include "workers/runner/device.h"
#include "workers/runner/ensemble/ensemble_job.h"
#include "workers/runner/ensemble/ensemble_report.h"
#include "workers/runner/ensemble/fusion.h"
#include "workers/runner/ensemble/member_pool.h"
#include "workers/runner/ensemble/outputs.h"
#include "workers/runner/meter.h"
#include "workers/runner/results.h"
#include "workers/runner/run_point.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

// How often a wait for the members looks for a stop.
constexpr absl::Duration kLookUp = absl::Milliseconds(100);
// Read ahead: one batch takes the members longer than its reading.
constexpr int kPrefetchBatches = 2;
// Of batches on their way, though never less than two.
constexpr uint64_t kMaxFedBytes = uint64_t{64} << 20;

// Adds the seconds of its life to *to.
class Timed {
 public:
  explicit Timed(double* to)
      : to_(*to), begin_(std::chrono::steady_clock::now()) {}
  ~Timed() {
    to_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_)
            .count();
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  double& to_;
  const std::chrono::steady_clock::time_point begin_;
};

// Batches on their way: enough that no member waits for another or for the
// writing, less where they are large.
size_t Window(const EnsembleJob& job) {
  const uint64_t bytes =
      static_cast<uint64_t>(job.samples->sample_shape().size()) *
      sizeof(float) * job.feeds.size() *
      std::min(job.options().batch_size, job.samples->num_samples());
  return static_cast<size_t>(
      std::clamp<uint64_t>(kMaxFedBytes / std::max<uint64_t>(1, bytes), 2, 4));
}

std::vector<double> WeightsOf(const EnsembleOptions& options) {
  std::vector<double> weights;
  for (const MemberOptions& member : options.members) {
    weights.push_back(member.weight);
  }
  return weights;
}

class EnsembleLoop {
 public:
  EnsembleLoop(EnsembleJob* job, const RunPorts& ports, std::string output,
               MetricsLog log, PredictionFiles files);
  absl::StatusOr<RunEnd> Run();

 private:
  absl::Status Refill();
  // False: a stop was asked for meanwhile.
  absl::StatusOr<bool> FinishOldest();
  void Fuse(const MemberPool::Results& results);
  absl::Status Write(const MemberPool::Results& results);
  absl::Status BetweenSteps();
  absl::Status EmitPoint();
  std::optional<double> EtaSeconds() const;
  absl::StatusOr<RunEnd> Finish();

  EnsembleJob& job_;
  const RunPorts ports_;
  const std::string output_;
  MetricsLog log_;
  PredictionFiles files_;
  data::Loader loader_;
  MemberPool pool_;
  const Fuser fuser_;
  Meter meter_;
  FusedBatch fused_;
  // Labels (the members' classes) of the batches in flight.
  std::deque<std::vector<int64_t>> labels_;
  std::vector<std::string> names_;
  bool all_read_ = false;
  uint64_t total_steps_ = 0;
  EnsembleFigures figures_;
};

EnsembleLoop::EnsembleLoop(EnsembleJob* job, const RunPorts& ports,
                           std::string output, MetricsLog log,
                           PredictionFiles files)
    : job_(*job),
      ports_(ports),
      output_(std::move(output)),
      log_(std::move(log)),
      files_(std::move(files)),
      loader_(*job->samples, {.batch_size = job->options().batch_size,
                              .prefetch_batches = kPrefetchBatches}),
      pool_(job->members, {.shares = job->Shares(),
                           .classes = job->classes,
                           .mc_samples = job->options().mc_samples,
                           .seed = job->options().seed,
                           .window = Window(*job)}),
      fuser_(job->options().fusion, WeightsOf(job->options())),
      meter_(ports.clock, {.threads = job->threads}) {
  figures_.members.resize(job->members.size());
}

absl::StatusOr<RunEnd> EnsembleLoop::Run() {
  RETURN_IF_ERROR(pool_.Start());
  RETURN_IF_ERROR(
      loader_.Start(data::SequentialOrder(job_.samples->num_samples())));
  total_steps_ = loader_.num_batches();
  RETURN_IF_ERROR(ports_.events->Started(0, total_steps_, job_.parameters(),
                                         job_.DeviceText()));
  meter_.StartInterval();
  while (figures_.batches < total_steps_) {
    RETURN_IF_ERROR(Refill());
    ASSIGN_OR_RETURN(const bool going_on, FinishOldest());
    if (!going_on) {
      RETURN_IF_ERROR(ports_.events->Stopped(0));
      return RunEnd::kStopped;
    }
    RETURN_IF_ERROR(BetweenSteps());
  }
  return Finish();
}

// Puts batches on their way until the window is full.
absl::Status EnsembleLoop::Refill() {
  while (!all_read_ && !pool_.full()) {
    ASSIGN_OR_RETURN(const data::Batch* batch, loader_.Next());
    if (batch == nullptr) {
      all_read_ = true;
      break;
    }
    const Timed timed(&figures_.feed_seconds);
    MemberPool::Work work{.index = batch->index,
                          .first = batch->index * job_.options().batch_size,
                          .samples = batch->size,
                          .images = {}};
    for (const auto& feed : job_.feeds) {
      work.images.push_back(feed->ForValidation(*batch).images);
    }
    std::vector<int64_t>& labels = labels_.emplace_back();
    for (uint32_t i = 0; i < batch->size; ++i) {
      const int64_t label = batch->labels[i];
      labels.push_back(label == kNoLabel
                           ? kNoLabel
                           : job_.label_of[static_cast<size_t>(label)]);
    }
    pool_.Submit(std::move(work));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> EnsembleLoop::FinishOldest() {
  const MemberPool::Results* results = nullptr;
  while (results == nullptr) {
    if (ports_.mailbox->stop_wanted()) return false;
    ASSIGN_OR_RETURN(results, pool_.Oldest(kLookUp));
  }
  Fuse(*results);
  RETURN_IF_ERROR(Write(*results));
  pool_.Release();
  labels_.pop_front();
  ++figures_.batches;
  figures_.samples += static_cast<uint64_t>(fused_.samples);
  meter_.AddStep(static_cast<uint32_t>(fused_.samples), loader_.wait_seconds());
  return true;
}

void EnsembleLoop::Fuse(const MemberPool::Results& results) {
  const Timed timed(&figures_.fuse_seconds);
  std::vector<const MemberBatch*> members;
  for (const MemberBatch& member : results.members) members.push_back(&member);
  fuser_.Fuse(members, &fused_);
  for (size_t i = 0; i < fused_.prediction.size(); ++i) {
    const Uncertainty& of = fused_.uncertainty[i];
    figures_.uncertainty.entropy += of.entropy;
    figures_.uncertainty.aleatoric += of.aleatoric;
    figures_.uncertainty.epistemic += of.epistemic;
    figures_.uncertainty.disagreement += of.disagreement;
    const int64_t label = labels_.front()[i];
    if (label == kNoLabel) continue;
    const auto sample = static_cast<int64_t>(i);
    figures_.fused.Add(fused_.row(sample), fused_.prediction[i], label);
    for (size_t m = 0; m < members.size(); ++m) {
      figures_.members[m].Add(members[m]->row(sample),
                              members[m]->prediction[i], label);
    }
  }
}

absl::Status EnsembleLoop::Write(const MemberPool::Results& results) {
  const Timed timed(&figures_.write_seconds);
  const uint64_t first = results.index * job_.options().batch_size;
  names_.clear();
  for (size_t i = 0; i < labels_.front().size(); ++i) {
    names_.push_back(
        job_.samples->sample_name(static_cast<uint32_t>(first + i)));
  }
  return files_.Append({.first = first,
                        .fused = fused_,
                        .labels = labels_.front(),
                        .names = names_});
}

absl::Status EnsembleLoop::BetweenSteps() {
  ports_.mailbox->TakeCheckpoint();  // there is nothing to checkpoint
  if (!meter_.Due()) return absl::OkStatus();
  RETURN_IF_ERROR(EmitPoint());
  meter_.StartInterval();
  return absl::OkStatus();
}

absl::Status EnsembleLoop::EmitPoint() {
  const IntervalFigures speed = meter_.CloseInterval();
  Json point = {{"step", figures_.batches}, {"total_steps", total_steps_}};
  SetIf(EtaSeconds(), "eta_seconds", &point);
  AddSpeed(speed, job_.devices, &point);
  // Only the last point has the figures of all samples.
  const Calibration& fused = figures_.fused;
  if (figures_.batches == total_steps_ && fused.samples() > 0) {
    point["validation_accuracy"] = fused.accuracy();
    point["validation_loss"] = fused.nll();
  }
  RETURN_IF_ERROR(log_.Append(point));
  return ports_.events->Metrics(point);
}

std::optional<double> EnsembleLoop::EtaSeconds() const {
  const std::optional<double> step_seconds = meter_.recent_step_seconds();
  if (!step_seconds.has_value()) return std::nullopt;
  return static_cast<double>(total_steps_ - figures_.batches) * *step_seconds;
}

absl::StatusOr<RunEnd> EnsembleLoop::Finish() {
  RETURN_IF_ERROR(EmitPoint());
  figures_.wait_seconds = loader_.wait_seconds();
  ASSIGN_OR_RETURN(std::vector<std::string> outputs, files_.Finish());
  RETURN_IF_ERROR(log_.Finish());
  RETURN_IF_ERROR(
      WriteReport(output_, EnsembleReport(job_, pool_, figures_, meter_)));
  outputs.insert(outputs.end(), {kMetricsFile, kReportFile});
  RETURN_IF_ERROR(ports_.events->Finished(outputs));
  return RunEnd::kFinished;
}

}  // namespace

absl::StatusOr<RunEnd> RunEnsemble(const Spec& spec, const RunPorts& ports) {
  return CatchTorch([&]() -> absl::StatusOr<RunEnd> {
    const c10::InferenceMode inference;
    ASSIGN_OR_RETURN(const std::string output,
                     MakeFolder(spec.work_dir, "output"));
    ASSIGN_OR_RETURN(MetricsLog log, MetricsLog::Create(output));
    ASSIGN_OR_RETURN(const std::unique_ptr<EnsembleJob> job,
                     PrepareEnsemble(spec));
    ASSIGN_OR_RETURN(
        PredictionFiles files,
        PredictionFiles::Create(output, job->options().outputs,
                                {.samples = job->samples->num_samples(),
                                 .classes = job->classes,
                                 .class_names = job->class_names}));
    return EnsembleLoop(job.get(), ports, output, std::move(log),
                        std::move(files))
        .Run();
  });
}

}  // namespace trainyard::runner
