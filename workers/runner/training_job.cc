#include "workers/runner/training_job.h"

#include <torch/utils.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/device.h"
#include "workers/runner/optim/optimizer.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

constexpr uint64_t kMostEpochs = 1'000'000;

absl::StatusOr<int64_t> ClassesOf(const Spec& spec,
                                  const data::Dataset& dataset) {
  const int64_t wanted = spec.training.model.num_classes;
  const int64_t there = dataset.num_classes();
  if (wanted != 0 && wanted < there) {
    return absl::InvalidArgumentError(absl::StrCat(
        "training.model.num_classes is ", wanted, ", but the data has ", there,
        " classes; it must be at least that, or 0 for as many"));
  }
  const int64_t classes = wanted != 0 ? wanted : there;
  if (classes < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("training.data.source has ", there,
                     " class; there must be at least 2 to tell apart"));
  }
  return classes;
}

absl::Status OpenData(TrainingJob* job) {
  data::DataOptions options = job->spec.training.data;
  options.seed = job->spec.training.seed;
  absl::StatusOr<data::DatasetParts> parts = data::OpenDataset(options);
  if (!parts.ok()) return WithContext(parts.status(), "training.data");
  job->data = *std::move(parts);
  return absl::OkStatus();
}

absl::Status Build(TrainingJob* job) {
  const TrainingOptions& training = job->spec.training;
  const data::Dataset& train = *job->data.train;
  ASSIGN_OR_RETURN(const int64_t classes, ClassesOf(job->spec, train));
  job->description = {.plan = {.architecture = training.model.architecture,
                               .hidden_sizes = training.model.hidden_sizes,
                               .num_classes = classes,
                               .input = train.sample_shape()},
                      .normalization = job->data.normalization,
                      .class_names = train.class_names()};
  // On the CPU first: the same initial weights on every device.
  torch::manual_seed(training.seed);
  ASSIGN_OR_RETURN(job->model, BuildModel(job->description.plan));
  if (!training.model.weights.empty()) {
    RETURN_IF_ERROR(LoadWeights(training.model.weights, job->description.plan,
                                job->model.get()));
  }
  job->model->to(job->device);
  job->optimizer = MakeOptimizer(training.optimizer, job->model->parameters());
  job->feed = std::make_unique<ImageFeed>(
      ImageFeedOptions{.shape = train.sample_shape(),
                       .normalization = job->data.normalization,
                       .device = job->device,
                       .augment = training.augment,
                       .seed = training.seed});
  for (const torch::Tensor& parameter : job->model->parameters()) {
    job->parameters += static_cast<uint64_t>(parameter.numel());
  }
  for (const auto& [name, tensor] : StateOf(*job->model)) {
    job->state_bytes += tensor.nbytes();
  }
  return absl::OkStatus();
}

// A last batch that is too small for the model is left out.
absl::Status CountSteps(TrainingJob* job) {
  const TrainingOptions& training = job->spec.training;
  const uint64_t samples = job->data.train->num_samples();
  const auto fewest = static_cast<uint64_t>(job->model->min_training_batch());
  const uint64_t rest = samples % training.batch_size;
  job->steps_per_epoch =
      samples / training.batch_size + (rest >= std::max<uint64_t>(fewest, 1));
  if (training.batch_size < fewest || job->steps_per_epoch == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "training.batch_size is ", training.batch_size, " and the data has ",
        samples, " training samples; ", training.model.architecture,
        " needs batches of at least ", fewest,
        " at this image size, for its batch normalisation"));
  }
  job->total_steps = training.epochs * job->steps_per_epoch;
  if (training.max_steps > 0) {
    job->total_steps = std::min(job->total_steps, training.max_steps);
  }
  return absl::OkStatus();
}

absl::Status Resume(TrainingJob* job) {
  job->identity =
      IdentityOf(job->spec, job->description.plan.num_classes,
                 job->description.plan.input, job->data.train->num_samples());
  if (job->spec.resume.empty()) return absl::OkStatus();
  CheckpointParts parts = job->parts();
  ASSIGN_OR_RETURN(job->progress,
                   LoadCheckpoint(job->spec.resume, job->identity, &parts));
  const Progress& at = job->progress;
  if (at.batch > job->steps_per_epoch || at.epoch > kMostEpochs ||
      at.step != at.epoch * job->steps_per_epoch + at.batch) {
    return absl::UnavailableError(
        absl::StrCat("cannot resume from ", job->spec.resume, ": step ",
                     at.step, " is not batch ", at.batch, " of epoch ",
                     at.epoch, ", with ", job->steps_per_epoch, " an epoch"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingJob>> PrepareJob(const Spec& spec) {
  auto job = std::make_unique<TrainingJob>();
  job->spec = spec;
  job->threads = ThreadsOf(spec);
  ASSIGN_OR_RETURN(job->device, SelectDevice(spec.device));
  SetThreads(job->threads);
  MakeDeterministic(job->device);
  RETURN_IF_ERROR(OpenData(job.get()));
  RETURN_IF_ERROR(Build(job.get()));
  RETURN_IF_ERROR(CountSteps(job.get()));
  RETURN_IF_ERROR(Resume(job.get()));
  return job;
}

}  // namespace trainyard::runner
