#include "workers/runner/train_loop.h"

#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "workers/runner/data/loader.h"
#include "workers/runner/data/sampler.h"
#include "workers/runner/meter.h"
#include "workers/runner/optim/optimizer.h"
#include "workers/runner/results.h"
#include "workers/runner/run_point.h"
#include "workers/runner/torch_status.h"
#include "workers/runner/training_job.h"
#include "workers/runner/validation.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

class TrainLoop {
 public:
  TrainLoop(TrainingJob* job, const RunPorts& ports, std::string output,
            const std::string& checkpoints, MetricsLog log);
  absl::StatusOr<RunEnd> Run();

 private:
  bool Done() const { return at_.step >= job_.total_steps; }
  void Step(const data::Batch& batch);
  absl::Status BetweenSteps();
  absl::StatusOr<bool> ValidateEpoch();
  absl::StatusOr<RunEnd> Stop();
  absl::StatusOr<RunEnd> Finish();
  absl::StatusOr<Json> TakePoint();
  absl::Status Emit(const Json& point);
  absl::Status WriteCheckpoint();
  absl::StatusOr<std::optional<double>> MeanLoss() const;
  std::optional<double> EtaSeconds() const;
  double SecondsSoFar() const {
    return job_.progress.seconds + meter_.total_seconds();
  }
  Json Report() const;

  TrainingJob& job_;
  const RunPorts ports_;
  const std::string output_;
  CheckpointFolder checkpoints_;
  MetricsLog log_;
  data::Loader loader_;
  Validator validator_;
  Meter meter_;
  Progress at_;
  absl::Time last_checkpoint_;
  // Since the last metrics point, on the device: reading it makes the device
  // wait, so that is done once a point.
  torch::Tensor loss_sum_;
  uint64_t loss_samples_ = 0;
  // For the report.
  std::optional<double> last_loss_;
  std::optional<ValidationFigures> last_validation_;
  double validation_seconds_ = 0;
};

TrainLoop::TrainLoop(TrainingJob* job, const RunPorts& ports,
                     std::string output, const std::string& checkpoints,
                     MetricsLog log)
    : job_(*job),
      ports_(ports),
      output_(std::move(output)),
      checkpoints_(checkpoints),
      log_(std::move(log)),
      loader_(
          *job->data.train,
          {.batch_size = static_cast<uint32_t>(job->spec.training.batch_size)}),
      validator_(job, ports.mailbox),
      meter_(ports.clock, {.threads = job->threads}),
      at_(job->progress),
      last_checkpoint_(ports.clock->Now()),
      loss_sum_(torch::zeros({}, job->device)) {}

absl::StatusOr<RunEnd> TrainLoop::Run() {
  const TrainingOptions& training = job_.spec.training;
  const uint32_t samples = job_.data.train->num_samples();
  RETURN_IF_ERROR(ports_.events->Started(at_.step, job_.total_steps,
                                         job_.parameters, job_.device.str()));
  while (true) {
    RETURN_IF_ERROR(loader_.Start(
        data::EpochOrder(samples, training.seed, at_.epoch), at_.batch));
    job_.model->train();
    meter_.StartInterval();
    while (at_.batch < job_.steps_per_epoch && !Done()) {
      if (ports_.mailbox->stop_wanted()) return Stop();
      ASSIGN_OR_RETURN(const data::Batch* batch, loader_.Next());
      Step(*batch);
      RETURN_IF_ERROR(BetweenSteps());
    }
    ASSIGN_OR_RETURN(const bool validated, ValidateEpoch());
    if (!validated) return Stop();
    if (Done()) return Finish();
    at_ = {.step = at_.step, .epoch = at_.epoch + 1, .batch = 0};
  }
}

void TrainLoop::Step(const data::Batch& batch) {
  const Fed fed = job_.feed->ForTraining(batch, at_.step);
  ClearGradients(*job_.optimizer);
  const torch::Tensor loss = torch::nn::functional::cross_entropy(
      job_.model->forward(fed.images), fed.labels);
  loss.backward();
  job_.optimizer->step();
  loss_sum_.add_(loss.detach(), static_cast<int64_t>(batch.size));
  loss_samples_ += batch.size;
  ++at_.step;
  ++at_.batch;
  meter_.AddStep(batch.size, loader_.wait_seconds());
}

absl::Status TrainLoop::BetweenSteps() {
  if (meter_.Due()) {
    ASSIGN_OR_RETURN(const Json point, TakePoint());
    RETURN_IF_ERROR(Emit(point));
    meter_.StartInterval();
  }
  const CheckpointOptions& when = job_.spec.training.checkpoint;
  const bool by_steps =
      when.every_steps > 0 && at_.step % when.every_steps == 0;
  const bool by_time = when.every_seconds > 0 &&
                       HasPassed(absl::Seconds(when.every_seconds),
                                 last_checkpoint_, ports_.clock->Now());
  const bool asked = ports_.mailbox->TakeCheckpoint();
  return by_steps || by_time || asked ? WriteCheckpoint() : absl::OkStatus();
}

// False: a stop was asked for meanwhile.
absl::StatusOr<bool> TrainLoop::ValidateEpoch() {
  ASSIGN_OR_RETURN(Json point, TakePoint());
  const absl::Time begun = ports_.clock->Now();
  ASSIGN_OR_RETURN(last_validation_, validator_.Run());
  if (!last_validation_.has_value()) return false;
  if (!std::isfinite(last_validation_->loss)) {
    return Diverged(job_, "validation", last_validation_->loss, at_.step);
  }
  validation_seconds_ =
      std::max(0.0, absl::ToDoubleSeconds(ports_.clock->Now() - begun));
  point["validation_loss"] = last_validation_->loss;
  point["validation_accuracy"] = last_validation_->accuracy;
  RETURN_IF_ERROR(Emit(point));
  return true;
}

absl::StatusOr<RunEnd> TrainLoop::Stop() {
  RETURN_IF_ERROR(WriteCheckpoint());
  RETURN_IF_ERROR(ports_.events->Stopped(at_.step));
  return RunEnd::kStopped;
}

absl::StatusOr<RunEnd> TrainLoop::Finish() {
  RETURN_IF_ERROR(SaveModel(output_, job_.description, *job_.model));
  RETURN_IF_ERROR(log_.Finish());
  RETURN_IF_ERROR(WriteReport(output_, Report()));
  RETURN_IF_ERROR(ports_.events->Finished(
      {kWeightsFile, kDescriptionFile, kMetricsFile, kReportFile}));
  return RunEnd::kFinished;
}

// Since the last metrics point; absent where no step was done. Waits for the
// device. A loss that is not finite means that the weights are lost.
absl::StatusOr<std::optional<double>> TrainLoop::MeanLoss() const {
  if (loss_samples_ == 0) return std::optional<double>();
  const double mean =
      loss_sum_.item<double>() / static_cast<double>(loss_samples_);
  if (!std::isfinite(mean)) return Diverged(job_, "training", mean, at_.step);
  return std::optional<double>(mean);
}

// The metrics since the last point; ends the interval.
absl::StatusOr<Json> TrainLoop::TakePoint() {
  ASSIGN_OR_RETURN(const std::optional<double> loss, MeanLoss());
  const IntervalFigures figures = meter_.CloseInterval();
  if (loss.has_value()) last_loss_ = loss;
  loss_sum_.zero_();
  loss_samples_ = 0;
  Json point = {{"step", at_.step},
                {"total_steps", job_.total_steps},
                {"epoch", at_.epoch + 1},
                {"learning_rate", job_.spec.training.optimizer.learning_rate}};
  SetIf(loss, "loss", &point);
  SetIf(EtaSeconds(), "eta_seconds", &point);
  AddSpeed(figures, {job_.device}, &point);
  return point;
}

absl::Status TrainLoop::Emit(const Json& point) {
  RETURN_IF_ERROR(log_.Append(point));
  return ports_.events->Metrics(point);
}

absl::Status TrainLoop::WriteCheckpoint() {
  RETURN_IF_ERROR(MeanLoss().status());
  at_.seconds = SecondsSoFar();
  const std::string path = checkpoints_.PathOf(at_.step);
  RETURN_IF_ERROR(SaveCheckpoint(path, job_.identity, at_, job_.parts()));
  checkpoints_.Keep(path);
  last_checkpoint_ = ports_.clock->Now();
  return ports_.events->Checkpoint(at_.step, path);
}

// Absent before the first interval's end.
std::optional<double> TrainLoop::EtaSeconds() const {
  const std::optional<double> step_seconds = meter_.recent_step_seconds();
  if (!step_seconds.has_value()) return std::nullopt;
  // A job that was cut shorter may be past its end when it is resumed.
  const auto steps_left =
      Done() ? 0.0 : static_cast<double>(job_.total_steps - at_.step);
  const double epochs_left =
      std::ceil(steps_left / static_cast<double>(job_.steps_per_epoch));
  return steps_left * *step_seconds + epochs_left * validation_seconds_;
}

Json TrainLoop::Report() const {
  const ModelPlan& plan = job_.description.plan;
  Json report = {{"job", job_.spec.job},
                 {"attempt", job_.spec.attempt},
                 {"architecture", plan.architecture},
                 {"parameters", job_.parameters},
                 {"model_mb", static_cast<double>(job_.state_bytes) / 1e6},
                 {"device", job_.device.str()},
                 {"threads", job_.threads},
                 {"batch_size", job_.spec.training.batch_size},
                 {"epochs", at_.epoch + 1},
                 {"steps", at_.step},
                 {"total_seconds", SecondsSoFar()},
                 {"attempt_seconds", meter_.total_seconds()},
                 {"attempt_steps", meter_.steps()},
                 {"attempt_samples", meter_.samples()},
                 {"attempt_training_seconds", meter_.training_seconds()}};
  AddTotals(meter_, {job_.device}, &report);
  SetIf(last_loss_, "loss", &report);
  if (last_validation_.has_value()) {
    report["validation_loss"] = last_validation_->loss;
    report["validation_accuracy"] = last_validation_->accuracy;
  }
  return report;
}

}  // namespace

absl::StatusOr<RunEnd> Train(const Spec& spec, const RunPorts& ports) {
  return CatchTorch([&]() -> absl::StatusOr<RunEnd> {
    ASSIGN_OR_RETURN(const std::string output,
                     MakeFolder(spec.work_dir, "output"));
    ASSIGN_OR_RETURN(const std::string checkpoints,
                     MakeFolder(spec.work_dir, "checkpoints"));
    ASSIGN_OR_RETURN(MetricsLog log, MetricsLog::Create(output));
    ASSIGN_OR_RETURN(const std::unique_ptr<TrainingJob> job, PrepareJob(spec));
    return TrainLoop(job.get(), ports, output, checkpoints, std::move(log))
        .Run();
  });
}

}  // namespace trainyard::runner
