// An ensemble in words. Pure.
#pragma once

#include <string>

#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

// "3: a (jobs/17), b (resnet18), c (torchscript)"; the first eight of them.
std::string MemberList(const v1::EnsembleInferenceSpec& ensemble);

// "vote, 10 passes for members with dropout".
std::string FusionText(const v1::EnsembleInferenceSpec& ensemble);

// The outputs that hold its predictions: "predictions.csv, probabilities.npy".
std::string PredictionFiles(const v1::Job& job);

}  // namespace trainyard::trainctl
