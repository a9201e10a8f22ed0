// Loss and accuracy over the validation samples.
//
//   Validator validator(&job, &mailbox);
//   ASSIGN_OR_RETURN(std::optional<ValidationFigures> figures,
//   validator.Run());
//
// Not thread-safe.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "workers/runner/data/loader.h"
#include "workers/runner/mailbox.h"
#include "workers/runner/training_job.h"

namespace trainyard::runner {

struct ValidationFigures {
  double loss = 0;      // mean cross-entropy
  double accuracy = 0;  // 0 to 1
};

class Validator {
 public:
  // Borrows both.
  Validator(TrainingJob* job, const Mailbox* mailbox);

  // Leaves the model in evaluation mode. Absent: a stop was asked for before
  // the end.
  absl::StatusOr<std::optional<ValidationFigures>> Run();

 private:
  TrainingJob& job_;
  const Mailbox& mailbox_;
  data::Loader loader_;
};

// The error of a loss that is NaN or infinite: what to change.
absl::Status Diverged(const TrainingJob& job, const char* which, double loss,
                      uint64_t step);

}  // namespace trainyard::runner
