#include "server/rpc/validate_training.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/validate_field.h"
#include "server/rpc/validate_model.h"

namespace trainyard::rpc {
namespace {

absl::Status CheckRates(v1::OptimizerSpec* optimizer) {
  const bool sgd = optimizer->kind() == v1::OptimizerSpec::KIND_SGD;
  const double rate = optimizer->learning_rate();
  if (!(rate >= 0 && rate <= 1000)) {
    return WrongValue("training.optimizer.learning_rate", absl::StrCat(rate),
                      "above 0, at most 1,000");
  }
  if (rate == 0) optimizer->set_learning_rate(sgd ? 0.01 : 0.001);
  const double momentum = optimizer->momentum();
  if (!(momentum >= 0 && momentum < 1)) {
    return WrongValue("training.optimizer.momentum", absl::StrCat(momentum),
                      "at least 0 and below 1");
  }
  if (sgd || momentum == 0) return absl::OkStatus();
  return BadField("training.optimizer.momentum",
                  absl::StrCat(momentum, ": only sgd has it: leave it out"));
}

absl::Status CheckOptimizer(v1::OptimizerSpec* optimizer) {
  RETURN_IF_ERROR(CheckKnown("training.optimizer", *optimizer));
  if (!v1::OptimizerSpec::Kind_IsValid(optimizer->kind())) {
    return WrongValue("training.optimizer.kind",
                      absl::StrCat(static_cast<int>(optimizer->kind())),
                      OneOf<v1::OptimizerSpec::Kind>());
  }
  if (optimizer->kind() == v1::OptimizerSpec::KIND_UNSPECIFIED) {
    optimizer->set_kind(v1::OptimizerSpec::KIND_SGD);
  }
  RETURN_IF_ERROR(CheckRates(optimizer));
  if (!optimizer->has_weight_decay()) {
    const bool adamw = optimizer->kind() == v1::OptimizerSpec::KIND_ADAMW;
    optimizer->set_weight_decay(adamw ? 0.01 : 0);
  }
  return CheckReal("training.optimizer.weight_decay", optimizer->weight_decay(),
                   0, 1);
}

absl::Status CheckCheckpoint(v1::CheckpointSpec* checkpoint) {
  RETURN_IF_ERROR(CheckKnown("training.checkpoint", *checkpoint));
  if (!checkpoint->has_every_seconds()) checkpoint->set_every_seconds(60);
  const double seconds = checkpoint->every_seconds();
  if (seconds >= 0 && seconds <= std::numeric_limits<double>::max()) {
    return absl::OkStatus();
  }
  return WrongValue("training.checkpoint.every_seconds", absl::StrCat(seconds),
                    "at least 0");
}

}  // namespace

absl::Status ValidateAndComplete(v1::TrainingSpec* training) {
  RETURN_IF_ERROR(CheckKnown("training", *training));
  if (!training->has_model()) {
    return NotSet("training.model", "there: the network to train");
  }
  if (!training->has_data()) {
    return NotSet("training.data", "there: the samples to train on");
  }
  RETURN_IF_ERROR(
      Below("training.model", CheckModel(training->mutable_model())));
  RETURN_IF_ERROR(Below("training.data", CheckData(training->mutable_data())));
  RETURN_IF_ERROR(
      Below("training.model", CheckFit(training->model(), training->data())));
  RETURN_IF_ERROR(CheckOptimizer(training->mutable_optimizer()));
  RETURN_IF_ERROR(CheckCheckpoint(training->mutable_checkpoint()));
  if (training->epochs() == 0) training->set_epochs(1);
  RETURN_IF_ERROR(
      CheckWhole("training.epochs", training->epochs(), 1, 1'000'000));
  if (training->batch_size() == 0) training->set_batch_size(64);
  RETURN_IF_ERROR(
      CheckWhole("training.batch_size", training->batch_size(), 1, 1'000'000));
  return CheckWhole("training.threads", training->threads(), 0, 1024);
}

}  // namespace trainyard::rpc
