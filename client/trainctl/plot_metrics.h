// `trainctl metrics --plot`: curves of a job's measurements in the terminal.
#pragma once

#include "absl/status/statusor.h"
#include "client/trainctl/command.h"
#include "client/trainctl/metric_history.h"

namespace trainyard::trainctl {

struct PlotOptions {
  Metrics metrics;
  bool skip_empty = false;  // leave out metrics that have no figures
  bool over_time = false;
  bool ascii = false;
};

// Draws what is there; with request.follow() again and again on a terminal,
// until the job's end, q or Ctrl-C, elsewhere once at its end.
absl::StatusOr<ExitCode> PlotMetrics(Context& context,
                                     const v1::StreamMetricsRequest& request,
                                     const PlotOptions& options);

}  // namespace trainyard::trainctl
