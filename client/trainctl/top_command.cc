#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/cancel.h"
#include "client/trainctl/command.h"
#include "client/trainctl/top_view.h"

namespace trainyard::trainctl {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
// How often keys, Ctrl-C and news are looked for.
constexpr absl::Duration kGlance = absl::Milliseconds(100);
// More than any terminal shows.
constexpr int kPage = 200;
constexpr int kMaxPagesOnce = 100;

// Asks the server, and keeps what it said last.
class Collector {
 public:
  Collector(client::Client& client, std::string server,
            client::CancelToken* cancel)
      : client_(client), cancel_(cancel), queue_(kPage) {
    model_.server = std::move(server);
  }

  // One round of calls: four, each bounded in time and size.
  absl::Status Ask() {
    const absl::Status status = AskAll();
    if (status.ok()) {
      model_.fault.clear();
      away_since_ = absl::InfiniteFuture();
    } else {
      away_since_ = std::min(away_since_, absl::Now());
      model_.fault = ExplainConnectionError(std::string(status.message()));
      queue_.Restart();
    }
    model_.away =
        status.ok() ? absl::ZeroDuration() : absl::Now() - away_since_;
    return status;
  }

  const TopModel& model() const { return model_; }

 private:
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
    const client::CancelToken::Scope scope(cancel_, &context);
    return client::FromGrpcStatus((stub.*method)(&context, request, response));
  }

  absl::Status ListJobs(std::initializer_list<v1::Job::State> states,
                        const std::string& page_token,
                        v1::ListJobsResponse* jobs) {
    v1::ListJobsRequest request;
    for (const v1::Job::State state : states) {
      request.mutable_filter()->add_states(state);
    }
    request.set_page_size(kPage);
    request.set_page_token(page_token);
    return Call(client_.jobs(), &v1::JobService::StubInterface::ListJobs,
                request, jobs);
  }

  absl::Status AskAll() {
    v1::GetServerResponse server;
    RETURN_IF_ERROR(Call(client_.fleet(),
                         &v1::FleetService::StubInterface::GetServer,
                         v1::GetServerRequest(), &server));
    v1::ListWorkersRequest request;
    request.set_page_size(kPage);
    v1::ListWorkersResponse workers;
    RETURN_IF_ERROR(Call(client_.fleet(),
                         &v1::FleetService::StubInterface::ListWorkers, request,
                         &workers));
    v1::ListJobsResponse active, queued;
    RETURN_IF_ERROR(ListJobs({v1::Job::STATE_STARTING, v1::Job::STATE_RUNNING},
                             "", &active));
    RETURN_IF_ERROR(
        ListJobs({v1::Job::STATE_QUEUED}, queue_.page_token(), &queued));
    Keep(server, workers, active, queued);
    return absl::OkStatus();
  }

  void Keep(const v1::GetServerResponse& server,
            const v1::ListWorkersResponse& workers,
            const v1::ListJobsResponse& active,
            const v1::ListJobsResponse& queued) {
    model_.version = server.version().empty() ? "?" : server.version();
    model_.now = server.has_time() ? ToTime(server.time()) : absl::Now();
    model_.workers.assign(workers.workers().begin(), workers.workers().end());
    model_.more_workers = !workers.next_page_token().empty();
    // Oldest first: rows keep their places.
    model_.active.assign(active.jobs().rbegin(), active.jobs().rend());
    model_.more_active = !active.next_page_token().empty();
    queue_.Add(queued);
    model_.queue = queue_.view();
  }

  client::Client& client_;
  client::CancelToken* const cancel_;
  QueueWalk queue_;
  TopModel model_;
  absl::Time away_since_ = absl::InfiniteFuture();
};

bool IsRefusal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated ||
         status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kUnimplemented;
}

// A collector on a thread of its own, so that a server that does not answer
// holds up no key. The destructor ends it.
class Poller {
 public:
  Poller(client::Client& client, const std::string& server)
      : collector_(client, server, &cancel_), model_(collector_.model()) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Poller() {
    cancel_.Cancel();
    thread_.join();
  }
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // True: it has changed since the call before.
  bool Take(TopModel* model) {
    absl::MutexLock lock(&mutex_);
    if (!fresh_) return false;
    fresh_ = false;
    *model = model_;
    return true;
  }
  // An error that waiting does not mend.
  absl::Status refused() const {
    absl::MutexLock lock(&mutex_);
    return refused_;
  }

 private:
  void Run() {
    do {
      const absl::Status status = collector_.Ask();
      absl::MutexLock lock(&mutex_);
      if (IsRefusal(status)) refused_ = status;
      model_ = collector_.model();
      fresh_ = true;
    } while (!cancel_.WaitFor(kInterval));
  }

  client::CancelToken cancel_;
  Collector collector_;
  mutable absl::Mutex mutex_;
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
  TopModel model_ ABSL_GUARDED_BY(mutex_);
  bool fresh_ ABSL_GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

TopScreen ScreenOf(const Console& console, bool whole) {
  return {console.width(), whole ? 0 : console.height(), PaintsOut(console),
          IsUtf8(console)};
}

absl::StatusOr<ExitCode> Live(Context& context) {
  Console& console = context.console;
  console.interrupted();  // from here on Ctrl-C is a wish
  Poller poller(context.client, context.server);
  const std::unique_ptr<Screen> screen = console.take_terminal();
  TopModel model;
  int width = 0, height = 0;
  while (!console.interrupted()) {
    RETURN_IF_ERROR(poller.refused());
    const bool resized = width != console.width() || height != console.height();
    if (poller.Take(&model) || resized) {
      width = console.width();
      height = console.height();
      screen->Draw(DrawTop(model, ScreenOf(console, /*whole=*/false)));
    }
    const int key = screen->WaitKey(kGlance);
    if (key == 'q' || key == 'Q' || key == Screen::kGone) break;
    if (key == Screen::kResumed) width = 0;
  }
  return kOk;
}

Json SnapshotJson(const TopModel& model) {
  Json json;
  json["server"] = model.server;
  json["version"] = model.version;
  json["time"] =
      absl::FormatTime(absl::RFC3339_sec, model.now, absl::UTCTimeZone());
  json["workers"] = Json::array();
  for (const v1::Worker& worker : model.workers) {
    json["workers"].push_back(ToJson(worker));
  }
  json["active"] = Json::array();
  for (const v1::Job& job : model.active) json["active"].push_back(ToJson(job));
  json["queued_count"] = model.queue.count;
  json["queued"] = Json::array();
  for (const v1::Job& job : model.queue.next) {
    json["queued"].push_back(ToJson(job));
  }
  // Where there is more than was read.
  json["complete"] =
      model.queue.complete && !model.more_workers && !model.more_active;
  return json;
}

absl::StatusOr<ExitCode> Once(Context& context) {
  Collector collector(context.client, context.server, nullptr);
  for (int page = 0; page < kMaxPagesOnce; ++page) {
    RETURN_IF_ERROR(collector.Ask());
    if (collector.model().queue.complete) break;
  }
  std::ostream& out = *context.console.out;
  if (context.format != OutputFormat::kTable) {
    out << FormatJson(SnapshotJson(collector.model()), context.format);
    return kOk;
  }
  for (const std::string& line :
       DrawTop(collector.model(), ScreenOf(context.console, /*whole=*/true))) {
    out << line << "\n";
  }
  return kOk;
}

}  // namespace

CommandRun AddTop(CLI::App& app) {
  auto once = std::make_shared<bool>(false);
  app.add_flag("--once", *once,
               "One look only; so it is without a terminal, and with --output "
               "json or yaml");
  return [once](Context& context) {
    const bool live = !*once && context.format == OutputFormat::kTable &&
                      context.console.out_is_terminal;
    return live ? Live(context) : Once(context);
  };
}

}  // namespace trainyard::trainctl
