#include "client/trainctl/text.h"

#include "client/trainctl/job_text.h"
#include "client/trainctl/printer.h"
#include "client/trainctl/progress_line.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Message>
Message FromText(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

TEST(Text, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("a\x1b[31mb\r\n\tc\x7f"), "a^[[31mb^M^J\tc^?");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m größe"),
            "?31m größe");
}

TEST(Text, ShortensToColumns) {
  EXPECT_EQ(Shorten("größe", 5), "größe");
  EXPECT_EQ(Shorten("größer", 5), "größ…");
  EXPECT_EQ(Shorten("abc", 0), "");
  EXPECT_EQ(DisplayWidth("█░"), 2u);
}

TEST(Text, ShowsTimesAndNumbers) {
  EXPECT_EQ(ShortDuration(absl::Seconds(-3)), "0s");
  EXPECT_EQ(ShortDuration(absl::Seconds(42)), "42s");
  EXPECT_EQ(ShortDuration(absl::Seconds(185)), "3m05s");
  EXPECT_EQ(ShortDuration(absl::Minutes(62)), "1h02m");
  EXPECT_EQ(ShortDuration(absl::Hours(76)), "3d04h");
  EXPECT_EQ(ShortDuration(absl::InfiniteDuration()).empty(), false);
  EXPECT_EQ(ShortNumber(0), "0.0");
  EXPECT_EQ(ShortNumber(99.94), "99.9");
  EXPECT_EQ(ShortNumber(123.6), "124");
  EXPECT_EQ(ShortNumber(1234567.4), "1,234,567");
  EXPECT_EQ(ShortNumber(-12345), "-12,345");
  EXPECT_EQ(ShortNumber(std::numeric_limits<double>::quiet_NaN()), "nan");
}

v1::MetricPoint Point() {
  return FromText<v1::MetricPoint>(R"(
      step: 1716 total_steps: 2814 epoch: 2 loss: 0.12344 samples_per_second: 12345
      rss_bytes: 327155712 utilization: 0.96 eta_seconds: 42.4)");
}

TEST(ProgressLine, ShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(
      ProgressLine({"jobs/17", Point(), 3}, 140),
      "jobs/17  [████████████░░░░░░░░]   60 %  epoch 2/3  step 1716/2814  "
      "loss 0.1234  12,345/s  mem 312.0 MiB  util 96 %  eta 42s");
}

TEST(ProgressLine, LeavesOutTheLeastImportantFirst) {
  EXPECT_EQ(ProgressLine({"jobs/17", Point(), 3}, 80),
            "jobs/17  [████████████░░░░░░░░]   60 %  epoch 2/3  loss 0.1234  "
            "eta 42s");
  EXPECT_EQ(ProgressLine({"jobs/17", Point(), 3}, 40),
            "jobs/17   60 %  loss 0.1234  eta 42s");
  EXPECT_EQ(ProgressLine({"jobs/17", Point(), 3}, 9), "jobs/17 …");
  for (int width = 1; width < 200; ++width) {
    EXPECT_LE(DisplayWidth(ProgressLine({"jobs/17", Point(), 3}, width)),
              static_cast<size_t>(width));
  }
}

TEST(ProgressLine, LeavesOutWhatIsNotKnown) {
  const auto point = FromText<v1::MetricPoint>("step: 5");
  EXPECT_EQ(ProgressLine({"jobs/1", point, 0}, 100), "jobs/1  step 5");
  EXPECT_EQ(PlainProgress({"jobs/1", point, 0}), "jobs/1 step 5");
}

TEST(PlainProgress, NamesEachFigure) {
  EXPECT_EQ(
      PlainProgress({"jobs/17", Point(), 3}),
      "jobs/17 60 % epoch 2/3 step 1716/2814 loss 0.1234 samples/s 12,345 "
      "memory 312.0 MiB utilization 96 % eta 42s");
}

TEST(ValidationLine, ComesWithTheEndOfAnEpoch) {
  EXPECT_EQ(ValidationLine(Point()), "");
  EXPECT_EQ(
      ValidationLine(FromText<v1::MetricPoint>(
          "epoch: 2 validation_loss: 0.07125 validation_accuracy: 0.97814")),
      "epoch 2: validation loss 0.0712, accuracy 97.81 %");
}

TEST(Table, AlignsColumnsAndColoursOnlyWhenAsked) {
  Table table({"JOB", "STATE"});
  table.AddRow({{"jobs/1"}, StateCell(v1::Job::STATE_RUNNING)});
  table.AddRow({{"grö\x1b"}, {""}});
  EXPECT_EQ(table.Format(false),
            "JOB     STATE\n"
            "jobs/1  running\n"
            "grö^[   -\n");
  EXPECT_THAT(table.Format(true), HasSubstr("\x1b[34mrunning\x1b[0m\n"));
}

v1::Job FailedJob() {
  return FromText<v1::Job>(R"(
      name: "jobs/17" state: STATE_FAILED reason: "no retry left"
      submit_time { seconds: 100 } start_time { seconds: 160 }
      end_time { seconds: 232 }
      attempts { number: 1 worker: "workers/a" devices: "cpu"
                 outcome: OUTCOME_LOST place_time { seconds: 150 }
                 start_time { seconds: 155 } end_time { seconds: 170 } }
      attempts { number: 2 worker: "workers/b" devices: "cuda:0"
                 outcome: OUTCOME_FAILED place_time { seconds: 190 }
                 end_time { seconds: 232 }
                 failure { category: CATEGORY_CRASH message: "killed"
                           stderr_tail: "one\ntwo\033[2J\n" exit_code: -9 } })");
}

TEST(JobOutcome, SaysWhyAJobFailed) {
  EXPECT_EQ(
      JobOutcome(FailedJob(), false),
      "jobs/17 failed after 1m12s, 2 attempts: no retry left\n"
      "  attempt 2 on workers/b (cuda:0) failed: crash: killed (signal 9)\n"
      "  last lines of stderr:\n"
      "    one\n"
      "    two^[[2J\n"
      "  all it printed: trainctl logs jobs/17\n");
}

TEST(JobOutcome, SaysWhereTheOutputsAre) {
  const auto job = FromText<v1::Job>(R"(
      name: "jobs/17" state: STATE_SUCCEEDED start_time { seconds: 160 }
      end_time { seconds: 170 } attempts { number: 1 worker: "workers/a" }
      outputs { name: "report.json" artifact: "sha256:ab" size_bytes: 1536 })");
  EXPECT_EQ(JobOutcome(job, false),
            "jobs/17 succeeded after 10s, 1 attempt\n"
            "OUTPUT       SIZE     ARTIFACT\n"
            "report.json  1.5 KiB  sha256:ab\n"
            "fetch them: trainctl artifacts download jobs/17\n");
}

TEST(JobChange, TellsEachStepOnce) {
  v1::Job before, now;
  const auto change = [&](const char* text) {
    before = now;
    now = FromText<v1::Job>(text);
    return JobChange(before, now, absl::UTCTimeZone(), false);
  };
  EXPECT_EQ(
      change("name: 'jobs/1' state: STATE_QUEUED reason: 'waits for cuda'"),
      "jobs/1 queued: waits for cuda\n");
  EXPECT_EQ(
      change("name: 'jobs/1' state: STATE_QUEUED reason: 'waits for cuda'"),
      "");
  EXPECT_EQ(change("name: 'jobs/1' state: STATE_STARTING "
                   "attempts { number: 1 worker: 'workers/a' devices: 'cpu' }"),
            "jobs/1 starting: attempt 1 on workers/a (cpu)\n");
  EXPECT_EQ(change("name: 'jobs/1' state: STATE_RUNNING "
                   "attempts { number: 1 worker: 'workers/a' devices: 'cpu' }"),
            "jobs/1 running: attempt 1 on workers/a (cpu)\n");
  EXPECT_EQ(change("name: 'jobs/1' state: STATE_QUEUED reason: 'retry in 1 s' "
                   "attempts { number: 1 worker: 'workers/a' devices: 'cpu' "
                   "outcome: OUTCOME_LOST }"),
            "jobs/1 attempt 1 on workers/a (cpu) lost\n"
            "jobs/1 queued: retry in 1 s\n");
  EXPECT_EQ(change("name: 'jobs/1' state: STATE_QUEUED reason: 'retry in 1 s' "
                   "cancel_requested: true "
                   "attempts { number: 1 worker: 'workers/a' devices: 'cpu' "
                   "outcome: OUTCOME_LOST }"),
            "jobs/1 is asked to stop\n");
}

TEST(DescribeJob, ShowsAllThereIs) {
  EXPECT_EQ(
      DescribeJob(FailedJob(), "", absl::FromUnixSeconds(292),
                  absl::UTCTimeZone(), false),
      "job          jobs/17\n"
      "state        failed\n"
      "reason       no retry left\n"
      "submitted    1970-01-01 00:01:40 (3m12s ago)\n"
      "placed       1970-01-01 00:02:40 (2m12s ago)\n"
      "ended        1970-01-01 00:03:52 (1m00s ago)\n"
      "             attempt 1 on workers/a (cpu) lost after 15s, at 1970-01-01 "
      "00:02:50: its worker went away\n"
      "             attempt 2 on workers/b (cuda:0) failed after 42s, at "
      "1970-01-01 00:03:52: crash: killed (signal 9)\n"
      "  last lines of stderr:\n"
      "    one\n"
      "    two^[[2J\n");
}

TEST(DescribeJob, SaysTheCauseOnce) {
  v1::Job job = FailedJob();
  v1::Failure* failure =
      job.mutable_attempts(job.attempts_size() - 1)->mutable_failure();
  failure->set_message("training.data.source/t.bin is truncated");
  failure->set_stderr_tail(
      "a warning\n[error] training.data.source/t.bin is truncated\n");
  job.set_reason("attempt 2 failed: " + failure->message());
  const auto count = [&](const std::string& text) {
    size_t found = 0;
    for (size_t at = text.find(failure->message()); at != std::string::npos;
         at = text.find(failure->message(), at + 1)) {
      ++found;
    }
    return found;
  };
  const auto describe = [&] {
    return DescribeJob(job, "", absl::FromUnixSeconds(292), absl::UTCTimeZone(),
                       false);
  };
  EXPECT_EQ(count(describe()), 1u);
  EXPECT_THAT(describe(),
              HasSubstr("  last lines of stderr:\n    a warning\n"));
  EXPECT_EQ(count(JobOutcome(job, false)), 1u);
  failure->set_stderr_tail(failure->message());
  EXPECT_THAT(describe(), Not(HasSubstr("last lines of stderr")));
  // With another reason the attempt says it.
  job.set_reason("no retry left");
  EXPECT_EQ(count(describe()), 1u);
}

v1::Job EnsembleJob() {
  return FromText<v1::Job>(R"(
      name: "jobs/18" state: STATE_RUNNING
      spec { name: "ensemble" ensemble {
        members { name: "a" job: "jobs/17" model { architecture: "mlp" } }
        members { name: "b" model { architecture: "resnet18" } }
        members { name: "c" torchscript { artifact: "sha256:ab" } }
        fusion: FUSION_VOTE mc_samples: 10 } }
      progress { step: 3 total_steps: 8 samples_per_second: 1234.5 }
      attempts { number: 1 worker: "workers/a" devices: "cpu"
                 outcome: OUTCOME_PREEMPTED place_time { seconds: 100 }
                 end_time { seconds: 110 } }
      attempts { number: 2 worker: "workers/b" devices: "cuda:0"
                 place_time { seconds: 120 } })");
}

TEST(DescribeJob, ShowsAnEnsembleInItsOwnTerms) {
  EXPECT_EQ(
      DescribeJob(EnsembleJob(), "accuracy 97.50 %", absl::FromUnixSeconds(200),
                  absl::UTCTimeZone(), false),
      "job          jobs/18\n"
      "name         ensemble\n"
      "state        running\n"
      "members      3: a (jobs/17), b (resnet18), c (torchscript)\n"
      "fusion       vote, 10 passes for members with dropout\n"
      "progress     batch 3 of 8, 1,234 samples/s\n"
      "             attempt 1 on workers/a (cpu) preempted after 10s, at "
      "1970-01-01 00:01:50: stopped for another job, or its worker "
      "was drained or left\n"
      "             attempt 2 on workers/b (cuda:0) since 1970-01-01 00:02:00\n"
      "result       accuracy 97.50 %\n");
}

TEST(JobOutcome, SaysWhereThePredictionsAre) {
  v1::Job job = EnsembleJob();
  job.set_state(v1::Job::STATE_SUCCEEDED);
  for (const char* name : {"predictions.csv", "probabilities.npy",
                           "uncertainty.npy", "report.json"}) {
    job.add_outputs()->set_name(name);
  }
  EXPECT_THAT(JobOutcome(job, false),
              HasSubstr("the predictions are in predictions.csv, "
                        "probabilities.npy, uncertainty.npy\nfetch them: "));
}

TEST(Progress, CountsBatchesOfAnEnsemble) {
  const auto point = FromText<v1::MetricPoint>(
      "step: 3 total_steps: 8 samples_per_second: 1234");
  EXPECT_EQ(PlainProgress({"jobs/1", point, 0, true}),
            "jobs/1 37 % batch 3/8 samples/s 1,234");
  EXPECT_EQ(ProgressLine({"jobs/1", point, 0, true}, 100),
            "jobs/1  [███████░░░░░░░░░░░░░]   37 %  batch 3/8  1,234/s");
  EXPECT_EQ(ValidationLine(FromText<v1::MetricPoint>(
                "step: 8 total_steps: 8 validation_accuracy: 0.975")),
            "accuracy 97.50 %");
}

TEST(FormatJson, NeverThrowsOverForeignBytes) {
  EXPECT_THAT(FormatJson(Json{{"a", "\xff"}}, OutputFormat::kJson),
              HasSubstr("\xef\xbf\xbd"));
  EXPECT_THAT(FormatJson(Json{{"a", "\xff"}}, OutputFormat::kYaml),
              HasSubstr("\xef\xbf\xbd"));
}

}  // namespace
}  // namespace trainyard::trainctl
