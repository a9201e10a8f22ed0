#include "client/trainctl/plot_metrics.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/trainctl/text.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

constexpr absl::Duration kGlance = absl::Milliseconds(100);
constexpr absl::Duration kRedraw = absl::Milliseconds(500);
constexpr int kUsualHeight = 14;  // of a curve in a file or above the prompt
constexpr int kLeastHeight = 6;

std::vector<std::string> Draw(const MetricHistory& history,
                              const PlotOptions& options,
                              const Console& console, int height) {
  std::vector<size_t> shown;
  for (size_t i = 0; i < history.size(); ++i) {
    if (!options.skip_empty || history.HasFigures(i)) shown.push_back(i);
  }
  if (shown.empty()) return {"no figures yet"};
  PlotScreen screen;
  screen.width = console.width();
  screen.ascii = options.ascii || !IsUtf8(console);
  screen.colour = PaintsOut(console);
  const int count = static_cast<int>(shown.size());
  // One line between two curves.
  screen.height = height == 0
                      ? kUsualHeight
                      : std::max(kLeastHeight, (height - count + 1) / count);
  std::vector<std::string> lines;
  for (const size_t i : shown) {
    if (!lines.empty()) lines.emplace_back();
    const std::vector<std::string> curve =
        DrawCurve(history.Curve(i), history.Axis(), screen);
    lines.insert(lines.end(), curve.begin(), curve.end());
  }
  return lines;
}

void Print(Context& context, const MetricHistory& history,
           const PlotOptions& options) {
  for (const std::string& line :
       Draw(history, options, context.console, /*height=*/0)) {
    *context.console.out << line << "\n";
  }
}

// Reads the stream on a thread of its own. The destructor ends it.
class Reader {
 public:
  Reader(client::Client& client, const v1::StreamMetricsRequest& request,
         const PlotOptions& options)
      : history_(options.metrics, options.over_time) {
    thread_ = std::thread([this, &client, request] { Read(client, request); });
  }
  ~Reader() {
    cancel_.Cancel();
    thread_.join();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  bool ended() const {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  // Empty while the stream is whole.
  std::string fault() const {
    absl::MutexLock lock(&mutex_);
    return fault_;
  }
  MetricHistory history() const {
    absl::MutexLock lock(&mutex_);
    return history_;
  }

 private:
  void Read(client::Client& client, const v1::StreamMetricsRequest& request) {
    client::FollowOptions options;
    options.cancel = &cancel_;
    options.on_break = [this](const absl::Status& why, absl::Duration) {
      absl::MutexLock lock(&mutex_);
      fault_ = std::string(why.message());
    };
    const absl::Status status = client::StreamMetrics(
        client, request, options,
        [this](const v1::StreamMetricsResponse& response) {
          absl::MutexLock lock(&mutex_);
          fault_.clear();
          for (const auto& one : response.points()) history_.Add(one);
          return true;
        });
    absl::MutexLock lock(&mutex_);
    status_ = status;
    ended_ = true;
  }

  client::CancelToken cancel_;
  mutable absl::Mutex mutex_;
  MetricHistory history_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::string fault_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// With a line of its own above the curves.
std::vector<std::string> Frame(const Reader& reader, const std::string& job,
                               const PlotOptions& options,
                               const Console& console) {
  const std::string fault = reader.fault();
  const std::string line =
      fault.empty() ? absl::StrCat(job, "   q: leave")
                    : absl::StrCat("connection lost (",
                                   Printable(ExplainConnectionError(fault)),
                                   "); trying again");
  std::vector<std::string> lines = {
      Shorten(line, static_cast<size_t>(console.width()))};
  const int height = console.height();
  const std::vector<std::string> curves =
      Draw(reader.history(), options, console, std::max(1, height - 1));
  lines.insert(lines.end(), curves.begin(), curves.end());
  if (lines.size() > static_cast<size_t>(height)) {
    lines.resize(static_cast<size_t>(height));
  }
  return lines;
}

// True: it was left before the job's end.
bool Show(Context& context, const Reader& reader, const std::string& job,
          const PlotOptions& options) {
  Console& console = context.console;
  const std::unique_ptr<Screen> screen = console.take_terminal();
  absl::Time next = absl::InfinitePast();
  std::vector<std::string> before;
  while (!reader.ended()) {
    if (console.interrupted()) return true;
    // At most so often, and where something is new.
    if (absl::Now() >= next) {
      next = absl::Now() + kRedraw;
      std::vector<std::string> lines = Frame(reader, job, options, console);
      if (lines != before) screen->Draw(lines);
      before = std::move(lines);
    }
    const int key = screen->WaitKey(kGlance);
    if (key == 'q' || key == 'Q' || key == Screen::kGone) return true;
    if (key == Screen::kResumed) before.clear();
  }
  return false;
}

absl::StatusOr<ExitCode> FollowPlot(Context& context,
                                    const v1::StreamMetricsRequest& request,
                                    const PlotOptions& options) {
  context.console.interrupted();  // from here on Ctrl-C is a wish
  const Reader reader(context.client, request, options);
  const bool left = Show(context, reader, request.job(), options);
  if (!left) RETURN_IF_ERROR(reader.status());
  Print(context, reader.history(), options);
  return left ? kDetached : kOk;
}

}  // namespace

absl::StatusOr<ExitCode> PlotMetrics(Context& context,
                                     const v1::StreamMetricsRequest& request,
                                     const PlotOptions& options) {
  if (request.follow() && context.console.out_is_terminal) {
    return FollowPlot(context, request, options);
  }
  MetricHistory history(options.metrics, options.over_time);
  RETURN_IF_ERROR(
      client::StreamMetrics(context.client, request, {},
                            [&](const v1::StreamMetricsResponse& response) {
                              for (const auto& one : response.points())
                                history.Add(one);
                              return true;
                            }));
  Print(context, history, options);
  return kOk;
}

}  // namespace trainyard::trainctl
