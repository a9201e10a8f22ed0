#include "client/trainctl/follow.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/trainctl/job_text.h"
#include "client/trainctl/printer.h"
#include "client/trainctl/progress_line.h"
#include "client/trainctl/text.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

constexpr size_t kMailboxLimit = 256;
constexpr absl::Duration kPlainInterval = absl::Seconds(5);
// How often Ctrl-C is looked for.
constexpr absl::Duration kGlance = absl::Milliseconds(100);
// How long the last measurements may come after the job's end.
constexpr absl::Duration kLastPoints = absl::Seconds(3);

struct StreamBroke {
  std::string why;
};
struct StreamEnded {
  bool jobs = false;  // the stream of jobs; else that of measurements
  absl::Status status;
};
using News = std::variant<v1::Job, v1::MetricPoint, StreamBroke, StreamEnded>;

// From the reading threads to the printing one. Full: writers wait, so a slow
// terminal slows the streams, whose servers keep what was not read.
class Mailbox {
 public:
  // False once closed.
  bool Put(News news) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](Mailbox* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
          return self->closed_ || self->news_.size() < kMailboxLimit;
        },
        this));
    if (!closed_) news_.push_back(std::move(news));
    return !closed_;
  }

  std::optional<News> Take(absl::Duration patience) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](Mailbox* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
              return !self->news_.empty();
            },
            this),
        patience);
    if (news_.empty()) return std::nullopt;
    News news = std::move(news_.front());
    news_.pop_front();
    return news;
  }

  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

 private:
  absl::Mutex mutex_;
  std::deque<News> news_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// The two streams of a job, each on its thread, into a mailbox. The destructor
// ends them.
class Streams {
 public:
  Streams(client::Client& client, const std::string& job, bool history,
          Mailbox* mailbox)
      : mailbox_(mailbox),
        jobs_([this, &client, job] { ReadJobs(client, job); }),
        points_([this, &client, job, history] {
          ReadPoints(client, job, history);
        }) {}

  ~Streams() {
    cancel_.Cancel();
    mailbox_->Close();
    jobs_.join();
    points_.join();
  }

 private:
  void ReadJobs(client::Client& client, const std::string& job) {
    v1::WatchJobsRequest request;
    request.mutable_filter()->add_names(job);
    request.set_until_final(true);
    client::FollowOptions options;
    options.cancel = &cancel_;
    options.on_break = [this](const absl::Status& why, absl::Duration) {
      mailbox_->Put(
          StreamBroke{ExplainConnectionError(std::string(why.message()))});
    };
    const absl::Status status = client::WatchJobs(
        client, request, options,
        [this](const v1::Job& now) { return mailbox_->Put(now); });
    mailbox_->Put(StreamEnded{true, status});
  }

  void ReadPoints(client::Client& client, const std::string& job,
                  bool history) {
    v1::StreamMetricsRequest request;
    request.set_job(job);
    request.set_follow(true);
    request.set_tail(history ? 0 : 1);
    client::FollowOptions options;
    options.cancel = &cancel_;
    const absl::Status status = client::StreamMetrics(
        client, request, options,
        [this](const v1::StreamMetricsResponse& response) {
          for (const auto& one : response.points()) {
            if (!mailbox_->Put(one.point())) return false;
          }
          return true;
        });
    mailbox_->Put(StreamEnded{false, status});
  }

  Mailbox* const mailbox_;
  client::CancelToken cancel_;
  std::thread jobs_;
  std::thread points_;
};

// What is on the screen.
class Display {
 public:
  Display(const Console& console, const FollowScreen& screen, v1::Job job)
      : console_(console), screen_(screen), job_(std::move(job)) {
    if (!IsFinal(job_.state())) {
      Print(JobChange(v1::Job(), job_, absl::LocalTimeZone(), screen_.colour));
    }
  }

  void OnJob(const v1::Job& now) {
    if (now.revision() <= job_.revision()) return;  // as GetJob told already
    Reconnected();
    // The end is told by who asked to follow, in full.
    if (!IsFinal(now.state())) {
      Print(JobChange(job_, now, absl::LocalTimeZone(), screen_.colour));
    }
    job_ = now;
  }

  void OnPoint(const v1::MetricPoint& point) {
    Reconnected();
    point_ = point;
    const std::string validation = ValidationLine(point);
    if (!validation.empty()) {
      Print(absl::StrCat(job_.name(), " ", validation, "\n"));
    }
    ShowProgress();
  }

  void OnBreak(const std::string& why) {
    // After the end there is nothing left to lose.
    if (IsFinal(job_.state())) return;
    if (!broken_) {
      Print(absl::StrCat("connection lost (", Printable(why),
                         "); trying again, the job goes on\n"));
    }
    broken_ = true;
  }

  // Leaves the line that changes, so that what follows has its own.
  void Finish() {
    if (!screen_.terminal && point_ && point_->step() != shown_step_) {
      Print(PlainProgress(View()) + "\n");
    }
    EraseLine();
    screen_.out->flush();
  }

  // Whole lines, above the one that changes.
  void Print(const std::string& lines) {
    if (lines.empty()) return;
    EraseLine();
    *screen_.out << lines;
    if (screen_.terminal && point_ && !IsFinal(job_.state())) ShowProgress();
    screen_.out->flush();
  }

  const v1::Job& job() const { return job_; }

 private:
  ProgressView View() const {
    return {job_.name(), *point_,
            job_.spec().has_training()
                ? std::max(1u, job_.spec().training().epochs())
                : 0,
            job_.spec().has_ensemble()};
  }

  void Reconnected() {
    if (!broken_) return;
    broken_ = false;
    Print("connected again\n");
  }

  void EraseLine() {
    if (line_is_up_) *screen_.out << "\r\x1b[K";
    line_is_up_ = false;
  }

  void ShowProgress() {
    if (screen_.terminal) {
      // One column less: the cursor stays in its line.
      *screen_.out << "\r" << ProgressLine(View(), console_.width() - 1)
                   << "\x1b[K";
      line_is_up_ = true;
    } else {
      const absl::Time now = console_.clock->Now();
      if (now < next_plain_) return;
      next_plain_ = now + kPlainInterval;
      *screen_.out << PlainProgress(View()) << "\n";
    }
    shown_step_ = point_->step();
    screen_.out->flush();
  }

  const Console& console_;
  const FollowScreen screen_;
  v1::Job job_;
  std::optional<v1::MetricPoint> point_;
  uint64_t shown_step_ = 0;
  absl::Time next_plain_ = absl::InfinitePast();
  bool line_is_up_ = false;
  bool broken_ = false;
};

}  // namespace

FollowScreen ScreenFor(const Console& console, bool table) {
  if (table) {
    return {console.out, console.out_is_terminal, PaintsOut(console)};
  }
  return {console.err, console.err_is_terminal,
          console.colour && console.err_is_terminal};
}

Follower::Follower(client::Client& client, const Console& console,
                   FollowScreen screen)
    : client_(client), console_(console), screen_(screen) {}

absl::StatusOr<FollowEnd> Follower::Follow(const std::string& job,
                                           bool history) {
  console_.interrupted();  // from here on Ctrl-C detaches
  // Tells at once whether there is such a job.
  ASSIGN_OR_RETURN(v1::Job now, client_.GetJob(job));
  Display display(console_, screen_, std::move(now));
  if (IsFinal(display.job().state())) return FollowEnd{display.job(), false};

  Mailbox mailbox;
  const Streams streams(client_, job, history, &mailbox);
  bool jobs_ended = false, points_ended = false;
  std::optional<absl::Time> deadline;  // for the last points
  while (!jobs_ended || !points_ended) {
    if (console_.interrupted()) {
      display.Finish();
      return FollowEnd{display.job(), true};
    }
    if (deadline && absl::Now() > *deadline) break;
    const std::optional<News> news = mailbox.Take(kGlance);
    if (!news) continue;
    if (const auto* changed = std::get_if<v1::Job>(&*news)) {
      display.OnJob(*changed);
    } else if (const auto* point = std::get_if<v1::MetricPoint>(&*news)) {
      display.OnPoint(*point);
    } else if (const auto* broke = std::get_if<StreamBroke>(&*news)) {
      display.OnBreak(broke->why);
    } else if (const auto& end = std::get<StreamEnded>(*news); end.jobs) {
      jobs_ended = true;
      deadline = absl::Now() + kLastPoints;
      if (!end.status.ok()) {
        display.Finish();
        return end.status;
      }
    } else {
      points_ended = true;
      if (!end.status.ok()) {
        display.Print(absl::StrCat(
            "no live measurements: ", Printable(end.status.message()), "\n"));
      }
    }
  }
  if (!IsFinal(display.job().state())) {  // the stream ended without saying so
    ASSIGN_OR_RETURN(const v1::Job last, client_.GetJob(job));
    display.OnJob(last);
  }
  display.Finish();
  return FollowEnd{display.job(), false};
}

}  // namespace trainyard::trainctl
