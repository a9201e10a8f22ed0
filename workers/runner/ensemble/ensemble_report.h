// report.json of an ensemble (docs/runner_protocol.md).
//
//   report = EnsembleReport(job, pool, figures, meter);
//
// Stateless.
#pragma once

#include <cstdint>
#include <vector>

#include "nlohmann/json.hpp"
#include "workers/runner/ensemble/calibration.h"
#include "workers/runner/ensemble/ensemble_job.h"
#include "workers/runner/ensemble/fusion.h"
#include "workers/runner/ensemble/member_pool.h"
#include "workers/runner/meter.h"

namespace trainyard::runner {

struct EnsembleFigures {
  Calibration fused;
  std::vector<Calibration> members;
  // Sums over the samples.
  Uncertainty uncertainty;
  uint64_t samples = 0;
  uint64_t batches = 0;
  double wait_seconds = 0;  // for data
  double feed_seconds = 0;  // normalising, and copying to the devices
  double fuse_seconds = 0;  // and counting what is right
  double write_seconds = 0;
};

nlohmann::json EnsembleReport(const EnsembleJob& job, const MemberPool& pool,
                              const EnsembleFigures& figures,
                              const Meter& meter);

}  // namespace trainyard::runner
