// A job in words: what changed, how it ended, all of it. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

// What a watcher should hear of `now` after having heard of `before` (an empty
// job at first): whole lines, empty where nothing worth it changed.
std::string JobChange(const v1::Job& before, const v1::Job& now,
                      absl::TimeZone zone, bool colour);

// The last word on a job in a final state: outcome, outputs and how to fetch
// them, or the cause and the last lines of stderr.
std::string JobOutcome(const v1::Job& job, bool colour);

// For `trainctl get`. `result`: figures of the whole job, if there are any.
std::string DescribeJob(const v1::Job& job, const std::string& result,
                        absl::Time now, absl::TimeZone zone, bool colour);

bool IsFinal(v1::Job::State state);

}  // namespace trainyard::trainctl
