// `trainyard-runner --predict`: logits of a trained model for given images.
//
//   RETURN_IF_ERROR(Predict({"/out", "/in.safetensors",
//   "/logits.safetensors"}));
#pragma once

#include <string>

#include "absl/status/status.h"

namespace trainyard::runner {

struct PredictOptions {
  // Holds model.json and model.safetensors.
  std::string model_dir;
  // A safetensors file with "input": N x C x H x W, F32, already normalised.
  std::string input;
  // Written: "logits", N x classes, F32.
  std::string output;
};

// On the CPU, with every core. Never throws.
absl::Status Predict(const PredictOptions& options);

}  // namespace trainyard::runner
