// How far a job is, as one line. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "trainyard/v1/telemetry.pb.h"

namespace trainyard::trainctl {

struct ProgressView {
  std::string job;        // "jobs/17"
  v1::MetricPoint point;  // the newest
  uint32_t epochs = 0;    // in all; 0: not known
  bool batches = false;   // steps are batches that were predicted
};

// For a terminal of that width: a bar and as many figures as fit, the least
// important left out first. Never wider than `width`, no newline.
//
//   jobs/17 [██████░░░░]  61 %  epoch 2/3  loss 0.1234  12,345/s  eta 42s …
std::string ProgressLine(const ProgressView& view, int width);

// For a log: every figure, each with its name.
//
//   jobs/17 61 % epoch 2/3 step 1716/2814 loss 0.1234 samples/s 12,345 …
std::string PlainProgress(const ProgressView& view);

// "epoch 2: validation loss 0.0712, accuracy 97.81 %", without an epoch (an
// ensemble's) "accuracy 97.81 %"; empty where the point has no such figure.
std::string ValidationLine(const v1::MetricPoint& point);

}  // namespace trainyard::trainctl
