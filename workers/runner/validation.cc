#include "workers/runner/validation.h"

#include <c10/core/InferenceMode.h>
#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/data/sampler.h"

namespace trainyard::runner {
namespace {

// Without gradients, twice the training's batch takes less memory than it does.
uint32_t BatchSize(const TrainingJob& job) {
  return static_cast<uint32_t>(std::min<uint64_t>(
      {2 * job.spec.training.batch_size, job.data.validation->num_samples(),
       std::numeric_limits<uint32_t>::max()}));
}

}  // namespace

Validator::Validator(TrainingJob* job, const Mailbox* mailbox)
    : job_(*job),
      mailbox_(*mailbox),
      loader_(*job->data.validation, {.batch_size = BatchSize(*job)}) {}

absl::StatusOr<std::optional<ValidationFigures>> Validator::Run() {
  const c10::InferenceMode inference;
  const uint32_t samples = job_.data.validation->num_samples();
  job_.model->eval();
  torch::Tensor loss = torch::zeros({}, job_.device);
  torch::Tensor correct =
      torch::zeros({}, torch::TensorOptions(torch::kInt64).device(job_.device));
  RETURN_IF_ERROR(loader_.Start(data::SequentialOrder(samples)));
  while (true) {
    if (mailbox_.stop_wanted()) return std::optional<ValidationFigures>();
    ASSIGN_OR_RETURN(const data::Batch* batch, loader_.Next());
    if (batch == nullptr) break;
    const Fed fed = job_.feed->ForValidation(*batch);
    const torch::Tensor logits = job_.model->forward(fed.images);
    loss += torch::nn::functional::cross_entropy(
        logits, fed.labels,
        torch::nn::functional::CrossEntropyFuncOptions().reduction(
            torch::kSum));
    correct += logits.argmax(1).eq(fed.labels).sum();
  }
  const ValidationFigures figures = {
      .loss = loss.item<double>() / samples,
      .accuracy = correct.item<double>() / samples};
  return std::optional<ValidationFigures>(figures);
}

absl::Status Diverged(const TrainingJob& job, const char* which, double loss,
                      uint64_t step) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the ", which, " loss is ", std::isnan(loss) ? "NaN" : "infinite",
      " by step ", step,
      ": the training has diverged; try a training.optimizer.learning_rate "
      "below ",
      job.spec.training.optimizer.learning_rate));
}

}  // namespace trainyard::runner
