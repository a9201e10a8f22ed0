#include "server/rpc/watch_jobs.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/core/lifecycle.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/job_view.h"
#include "server/rpc/names.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

// Jobs in one message, at most.
constexpr size_t kPage = 32;

class Watch final : public StreamCall<v1::WatchJobsResponse> {
 public:
  Watch(const Ports& ports, const v1::WatchJobsRequest& request)
      : StreamCall(ports, "JobService/WatchJobs"),
        request_(request),
        told_(request.from_revision()) {}

 private:
  Next Produce(v1::WatchJobsResponse* response) override {
    auto next = begun_ ? Changes(response) : Begin(response);
    return next.ok() ? *next : End(next.status());
  }

  void OnEnd() override {
    if (watch_ != 0) ports().feed->Unwatch(watch_);
  }

  absl::StatusOr<Next> Begin(v1::WatchJobsResponse* response) {
    RETURN_IF_ERROR(ValidateWatch(request_));
    ASSIGN_OR_RETURN(query_, ToQuery(request_.filter()));
    const core::Revision newest = ports().engine->revision();
    if (told_ > newest) {
      return absl::OutOfRangeError(absl::StrCat(
          "from_revision: ", told_, ": must be at most ", newest,
          ", the newest of this server; 0 starts from the beginning"));
    }
    scanned_ = told_;
    RETURN_IF_ERROR(CheckNames());
    unfinished_ = query_.jobs;
    // From here on no change is missed: what is committed before, Changes()
    // reads.
    watch_ = ports().feed->Watch(query_.jobs, [this] { Wake(); });
    begun_ = true;
    return Changes(response);
  }

  // Jobs that are named must be known.
  absl::Status CheckNames() {
    if (query_.jobs.empty()) return absl::OkStatus();
    std::sort(query_.jobs.begin(), query_.jobs.end());
    query_.jobs.erase(std::unique(query_.jobs.begin(), query_.jobs.end()),
                      query_.jobs.end());
    engine::JobQuery named;
    named.jobs = query_.jobs;
    ASSIGN_OR_RETURN(
        const std::vector<engine::StoredJob> known,
        ports().jobs->ListJobs(named, core::JobId(), named.jobs.size()));
    for (const core::JobId id : named.jobs) {
      const bool found =
          std::any_of(known.begin(), known.end(),
                      [&](const auto& job) { return job.id == id; });
      if (!found) {
        return absl::NotFoundError(absl::StrCat(
            "filter.names: ", JobName(id), " is not known to this server"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Next> Changes(v1::WatchJobsResponse* response) {
    // Before the changes are read: what is final now is among them.
    if (request_.until_final()) RETURN_IF_ERROR(DropFinished());
    const core::Revision newest = ports().engine->revision();
    ASSIGN_OR_RETURN(const std::vector<engine::StoredJob> changed,
                     ports().jobs->ChangedJobs(query_, scanned_, kPage));
    scanned_ = std::max(scanned_, newest);
    if (!changed.empty()) {
      ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, ViewJobs(ports(), changed));
      told_ = jobs.back().revision();
      if (jobs.size() < changed.size() || changed.size() == kPage) {
        scanned_ = told_;
      }
      for (v1::Job& job : jobs) *response->add_jobs() = std::move(job);
    }
    response->set_revision(told_);
    if (changed.empty() && request_.until_final() && unfinished_.empty()) {
      return End(absl::OkStatus());
    }
    // Even without a change the caller learns that the watch stands.
    const bool first = !std::exchange(sent_, true);
    return first || !changed.empty() ? Next::kSend : Next::kIdle;
  }

  absl::Status DropFinished() {
    if (unfinished_.empty()) return absl::OkStatus();
    engine::JobQuery query;
    query.jobs = unfinished_;
    ASSIGN_OR_RETURN(
        const std::vector<engine::StoredJob> jobs,
        ports().jobs->ListJobs(query, core::JobId(), query.jobs.size()));
    unfinished_.clear();
    for (const engine::StoredJob& job : jobs) {
      if (!core::IsFinal(job.state)) unfinished_.push_back(job.id);
    }
    return absl::OkStatus();
  }

  const v1::WatchJobsRequest request_;
  bool begun_ = false;
  bool sent_ = false;
  engine::JobQuery query_;
  core::Revision told_;                  // newest revision the client has
  core::Revision scanned_ = 0;           // newest revision that was looked at
  std::vector<core::JobId> unfinished_;  // with until_final
  uint64_t watch_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchJobsResponse>* StartWatch(
    const Ports& ports, grpc::CallbackServerContext* context,
    const v1::WatchJobsRequest& request) {
  return Watch::Start(std::make_shared<Watch>(ports, request), context);
}

}  // namespace trainyard::rpc
