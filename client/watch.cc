#include "client/watch.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"

namespace trainyard::client {
namespace {

// Reading streams only look, so more errors than IsRetryable's are worth
// another try: ABORTED and CANCELLED come from servers and proxies that stop.
bool IsResumable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return true;
    default:
      return false;
  }
}

template <typename Response>
using Opener =
    std::function<std::unique_ptr<grpc::ClientReaderInterface<Response>>(
        grpc::ClientContext*)>;

struct StreamEnd {
  absl::Status status;
  bool enough = false;   // the callback said so
  bool heard = false;    // at least one message came
  bool renewed = false;  // it came to the end of its lifetime
};

template <typename Response>
StreamEnd ReadStream(Client& client, CancelToken* cancel,
                     const Opener<Response>& open,
                     const std::function<bool(const Response&)>& take) {
  StreamEnd end;
  grpc::ClientContext context;
  const absl::Time deadline = absl::Now() + client.options().stream_lifetime;
  context.set_deadline(absl::ToChronoTime(deadline));
  const CancelToken::Scope scope(cancel, &context);
  const auto reader = open(&context);
  Response response;
  while (reader->Read(&response)) {
    end.heard = true;
    if (end.enough) continue;  // drains what is left after TryCancel
    if (!take(response)) {
      end.enough = true;
      context.TryCancel();
    }
  }
  end.status = FromGrpcStatus(reader->Finish());
  end.renewed = end.status.code() == absl::StatusCode::kDeadlineExceeded &&
                absl::Now() >= deadline;
  return end;
}

template <typename Response>
absl::Status Follow(Client& client, const FollowOptions& options,
                    bool ends_by_itself, const Opener<Response>& open,
                    const std::function<bool(const Response&)>& take) {
  const RetryPorts& ports = client.options().ports;
  Backoff backoff(client.options().retry, ports.random);
  bool heard = false;
  int failures = 0;
  absl::Time last_news = ports.clock->Now();
  while (true) {
    const StreamEnd end =
        ReadStream<Response>(client, options.cancel, open, take);
    if (end.enough) return absl::OkStatus();
    if (options.cancel != nullptr && options.cancel->cancelled()) {
      return absl::CancelledError("the caller cancelled the stream");
    }
    if (end.status.ok() && ends_by_itself) return absl::OkStatus();
    if (!end.status.ok() && !IsResumable(end.status)) return end.status;
    if (end.heard || end.renewed) {
      heard = true;
      failures = 0;
      last_news = ports.clock->Now();
      backoff.Reset();
    }
    if (end.renewed) continue;
    ++failures;
    const bool give_up = heard
                             ? ports.clock->Now() - last_news > options.patience
                             : failures >= client.options().retry.max_attempts;
    if (give_up && !end.status.ok()) return end.status;
    const absl::Duration pause = backoff.Next();
    if (options.on_break) options.on_break(end.status, pause);
    ports.sleep(pause, options.cancel);
  }
}

// StreamLogs and StreamMetrics: the same but for their types.
template <typename Request, typename Response, typename Open>
absl::Status FollowCursor(Client& client, Request request,
                          const FollowOptions& options, const Open& open,
                          const std::function<bool(const Response&)>& take) {
  return Follow<Response>(
      client, options, /*ends_by_itself=*/true,
      [&](grpc::ClientContext* context) { return open(context, request); },
      [&](const Response& response) {
        if (!response.cursor().empty()) {
          request.set_cursor(response.cursor());
          request.clear_tail();
        }
        return take(response);
      });
}

}  // namespace

absl::Status WatchJobs(Client& client, v1::WatchJobsRequest request,
                       const FollowOptions& options,
                       const std::function<bool(const v1::Job&)>& on_job) {
  return Follow<v1::WatchJobsResponse>(
      client, options, request.until_final(),
      [&](grpc::ClientContext* context) {
        return client.jobs().WatchJobs(context, request);
      },
      [&](const v1::WatchJobsResponse& response) {
        for (const v1::Job& job : response.jobs()) {
          if (!on_job(job)) return false;
        }
        if (response.revision() > request.from_revision()) {
          request.set_from_revision(response.revision());
        }
        return true;
      });
}

absl::Status StreamLogs(
    Client& client, v1::StreamLogsRequest request, const FollowOptions& options,
    const std::function<bool(const v1::StreamLogsResponse&)>& on_lines) {
  return FollowCursor<v1::StreamLogsRequest, v1::StreamLogsResponse>(
      client, std::move(request), options,
      [&](grpc::ClientContext* context, const v1::StreamLogsRequest& next) {
        return client.jobs().StreamLogs(context, next);
      },
      on_lines);
}

absl::Status StreamMetrics(
    Client& client, v1::StreamMetricsRequest request,
    const FollowOptions& options,
    const std::function<bool(const v1::StreamMetricsResponse&)>& on_points) {
  return FollowCursor<v1::StreamMetricsRequest, v1::StreamMetricsResponse>(
      client, std::move(request), options,
      [&](grpc::ClientContext* context, const v1::StreamMetricsRequest& next) {
        return client.jobs().StreamMetrics(context, next);
      },
      on_points);
}

}  // namespace trainyard::client
