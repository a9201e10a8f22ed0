// Follows jobs, their log lines and their measurements over streams that are
// opened again, where they broke, by themselves.
//
//   v1::WatchJobsRequest request;
//   request.mutable_filter()->add_names("jobs/17");
//   request.set_until_final(true);
//   absl::Status end = WatchJobs(client, request, {}, [](const v1::Job& job) {
//     std::cout << v1::Job::State_Name(job.state()) << "\n";
//     return true;  // false: enough
//   });
//
// Each blocks until the stream's own end, `false` from the callback, a final
// error or the token. Nothing is given twice and nothing is left out, but for
// what the server itself dropped (gap). Callbacks run on the calling thread.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cancel.h"
#include "client/client.h"

namespace trainyard::client {

struct FollowOptions {
  CancelToken* cancel = nullptr;  // makes it return CANCELLED
  // Before anything was heard, RetryPolicy.max_attempts tries are made. Once
  // something was heard, it goes on trying for so long without news.
  absl::Duration patience = absl::InfiniteDuration();
  // The stream broke; it is opened again after the pause. May be empty.
  std::function<void(const absl::Status& why, absl::Duration pause)> on_break;
};

// OK at the end only with request.until_final or `false`.
absl::Status WatchJobs(Client& client, v1::WatchJobsRequest request,
                       const FollowOptions& options,
                       const std::function<bool(const v1::Job&)>& on_job);

// With request.follow until the job is final and all was given; else what is
// there.
absl::Status StreamLogs(
    Client& client, v1::StreamLogsRequest request, const FollowOptions& options,
    const std::function<bool(const v1::StreamLogsResponse&)>& on_lines);
absl::Status StreamMetrics(
    Client& client, v1::StreamMetricsRequest request,
    const FollowOptions& options,
    const std::function<bool(const v1::StreamMetricsResponse&)>& on_points);

}  // namespace trainyard::client
