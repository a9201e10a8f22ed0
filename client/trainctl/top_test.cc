#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/trainctl/fit_table.h"
#include "client/trainctl/queue_walk.h"
#include "client/trainctl/text.h"
#include "client/trainctl/top_view.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

std::string Text(const std::vector<std::string>& lines) {
  return absl::StrJoin(lines, "\n") + "\n";
}

// Without colours: what the columns of a terminal hold.
size_t Widest(const std::vector<std::string>& lines) {
  size_t widest = 0;
  for (const auto& line : lines) widest = std::max(widest, DisplayWidth(line));
  return widest;
}

FitTable SomeTable() {
  FitTable table({{"JOB"}, {"NAME", 2, 6}, {"LOSS", 1, 0, true}});
  table.AddRow({{"jobs/1"}, {"a-rather-long-name"}, {"0.5"}});
  table.AddRow({{"jobs/22"}, {"b"}, {""}});
  return table;
}

TEST(FitTable, ShowsAllWhereThereIsRoom) {
  EXPECT_THAT(SomeTable().Lines(80, false),
              ElementsAre("JOB      NAME                LOSS",
                          "jobs/1   a-rather-long-name   0.5",
                          "jobs/22  b                      -"));
}

TEST(FitTable, ShortensThenLeavesOutTheLeastImportant) {
  EXPECT_THAT(
      SomeTable().Lines(25, false),
      ElementsAre("JOB      NAME        LOSS", "jobs/1   a-rather-…   0.5",
                  "jobs/22  b              -"));
  EXPECT_THAT(SomeTable().Lines(18, false),
              ElementsAre("JOB      LOSS", "jobs/1    0.5", "jobs/22     -"));
  EXPECT_THAT(SomeTable().Lines(9, false),
              ElementsAre("JOB", "jobs/1", "jobs/22"));
  EXPECT_THAT(SomeTable().Lines(4, false), ElementsAre("JOB", "job…", "job…"));
}

v1::ListJobsResponse Page(std::initializer_list<int> numbers,
                          const std::string& next) {
  v1::ListJobsResponse page;
  for (const int number : numbers) {
    v1::Job* job = page.add_jobs();
    job->set_name(absl::StrCat("jobs/", number));
    if (number == 7) job->mutable_spec()->set_priority(5);
  }
  page.set_next_page_token(next);
  return page;
}

std::vector<std::string> Names(const QueueView& view) {
  std::vector<std::string> names;
  for (const v1::Job& job : view.next) names.push_back(job.name());
  return names;
}

TEST(QueueWalk, KnowsTheNextOnesOnceAllWasSeen) {
  QueueWalk walk(3);
  EXPECT_EQ(walk.page_token(), "");
  walk.Add(Page({20, 19}, "a"));
  EXPECT_EQ(walk.page_token(), "a");
  EXPECT_FALSE(walk.view().complete);
  EXPECT_EQ(walk.view().count, 2u);
  walk.Add(Page({9, 7, 3}, ""));
  EXPECT_TRUE(walk.view().complete);
  EXPECT_EQ(walk.view().count, 5u);
  EXPECT_THAT(Names(walk.view()), ElementsAre("jobs/7", "jobs/3", "jobs/9"));
  EXPECT_EQ(walk.page_token(), "");
  // The whole stays until the next one is whole.
  walk.Add(Page({30}, "b"));
  EXPECT_EQ(walk.view().count, 5u);
  walk.Restart();
  walk.Add(Page({}, ""));
  EXPECT_EQ(walk.view().count, 0u);
  EXPECT_THAT(walk.view().next, IsEmpty());
}

TopModel SomeModel() {
  TopModel model;
  model.server = "127.0.0.1:7070";
  model.version = "0.1.0";
  model.now = absl::FromUnixSeconds(1000);
  model.workers.push_back(FromText<v1::Worker>(R"(
      name: "workers/mini" state: STATE_ONLINE
      devices { id: "cpu" kind: DEVICE_KIND_CPU model: "M4"
                memory_bytes: 2147483648 free_memory_bytes: 1073741824
                utilization: 0.5 }
      devices { id: "mps" kind: DEVICE_KIND_MPS memory_bytes: 2147483648
                free_memory_bytes: 2147483648 utilization: 0
                temperature_celsius: 41 power_watts: 11.6 })"));
  model.workers.push_back(FromText<v1::Worker>(
      "name: 'workers/away' state: STATE_SILENT draining: true"));
  model.active.push_back(FromText<v1::Job>(R"(
      name: "jobs/1" state: STATE_RUNNING submit_time { seconds: 880 }
      spec { name: "glyphs" training { batch_size: 50 } }
      attempts { number: 1 worker: "workers/mini" devices: "cpu" }
      progress { step: 250 total_steps: 1000 epoch: 2 loss: 0.125
                 samples_per_second: 1250 })"));
  model.active.push_back(FromText<v1::Job>(R"(
      name: "jobs/2" state: STATE_STARTING spec { name: "new" }
      attempts { number: 1 worker: "workers/away" devices: "cpu" })"));
  model.queue.count = 1;
  model.queue.complete = true;
  model.queue.next.push_back(FromText<v1::Job>(R"(
      name: "jobs/3" state: STATE_QUEUED submit_time { seconds: 940 }
      spec { name: "later" priority: -5 }
      reason: "waits for a cuda device: no worker has one")"));
  return model;
}

TopScreen Size(int width, int height) {
  TopScreen screen;
  screen.width = width;
  screen.height = height;
  return screen;
}

TEST(TopView, ShowsWorkersRunningAndNextJobs) {
  const auto lines = DrawTop(SomeModel(), Size(110, 40));
  ASSERT_THAT(lines, SizeIs(14)) << Text(lines);
  EXPECT_THAT(lines[0], StartsWith("trainyard-server 0.1.0 on 127.0.0.1:7070"));
  EXPECT_EQ(lines[1],
            "jobs: 1 queued, 1 starting, 1 running   workers: 1 online, 1 "
            "silent, 1 draining");
  const std::string text = Text(lines);
  EXPECT_THAT(
      text, HasSubstr("\n"
                      "WORKER  STATE           DEVICE  BUSY    UTILIZATION    "
                      "MEMORY               TEMP  POWER\n"
                      "mini    online          cpu M4  jobs/1  ████░░░░  50%  "
                      "1.0 GiB of 2.0 GiB      -      -\n"
                      "mini    online          mps     idle    ░░░░░░░░   0%  "
                      "0 B of 2.0 GiB      41 °C   12 W\n"
                      "away    silent, drains  -       -       -              "
                      "-                       -      -\n"));
  EXPECT_THAT(
      text,
      HasSubstr("\n"
                "JOB     NAME    STATE     WORKER            STEP  EPOCH    "
                "LOSS  SAMPLES/S  ETA    AGE\n"
                "jobs/1  glyphs  running   mini cpu  250/1000 25%      2  "
                "0.1250      1,250  30s  2m00s\n"
                "jobs/2  new     starting  away cpu             -      -       "
                "-          -    -      -\n"));
  EXPECT_THAT(text,
              HasSubstr("\n"
                        "NEXT    NAME   PRIORITY    AGE  WAITS BECAUSE\n"
                        "jobs/3  later        -5  1m00s  waits for a cuda "
                        "device: no worker has one\n"));
}

TEST(TopView, KeepsToTheTerminalWhateverItsSize) {
  TopModel model = SomeModel();
  for (int i = 10; i < 300; ++i) {
    v1::Job job = model.active[0];
    job.set_name(absl::StrCat("jobs/", i));
    job.mutable_spec()->set_name(std::string(128, 'x'));
    model.active.push_back(job);
    job.set_reason(std::string(500, 'y'));
    model.queue.next.push_back(job);
  }
  model.queue.count = 5000;
  model.queue.complete = false;
  model.more_active = true;
  for (const int width : {1, 2, 7, 20, 40, 60, 80, 120, 300}) {
    for (const int height : {1, 2, 3, 5, 8, 12, 24, 60, 700}) {
      const auto lines = DrawTop(model, Size(width, height));
      ASSERT_LE(Widest(lines), static_cast<size_t>(width)) << Text(lines);
      ASSERT_LE(lines.size(), static_cast<size_t>(height)) << Text(lines);
    }
  }
  // The counts come with a sign that there are more.
  const std::string text = Text(DrawTop(model, Size(100, 24)));
  EXPECT_THAT(text, HasSubstr("jobs: 5000+ queued, 1+ starting, 291+ running"));
  EXPECT_THAT(text, HasSubstr("and at least "));
  // Whoever needs little leaves room to the others.
  EXPECT_THAT(text, HasSubstr("away"));
  EXPECT_THAT(DrawTop(model, Size(100, 24)), SizeIs(24));
}

TEST(TopView, SaysHowManyAreLeftOut) {
  TopModel model = SomeModel();
  for (int i = 10; i < 40; ++i) {
    v1::Job job = model.active[0];
    job.set_name(absl::StrCat("jobs/", i));
    model.active.push_back(job);
  }
  const auto lines = DrawTop(model, Size(100, 20));
  const std::string text = Text(lines);
  EXPECT_THAT(lines, SizeIs(20)) << text;
  int shown = 0;
  for (const std::string& line : lines) {
    if (absl::StrContains(line, "glyphs") || absl::StrContains(line, "new ")) {
      ++shown;
    }
  }
  EXPECT_THAT(text, HasSubstr(absl::StrCat("and ", 32 - shown, " more")))
      << text;
}

TEST(TopView, ShowsForeignTextWithoutObeyingIt) {
  TopModel model = SomeModel();
  model.workers[0].mutable_devices(0)->set_model("\x1b[2J\tcard\n");
  model.active[0].mutable_spec()->set_name("\x1b]0;title\x07");
  model.queue.next[0].set_reason("a\r\nb\x1b[31m\tc");
  model.fault = "lost\x1b[1m\n";
  model.version = "\x1b[5m";
  for (const bool colour : {false, true}) {
    TopScreen screen = Size(120, 40);
    screen.colour = colour;
    const std::string text = Text(DrawTop(model, screen));
    EXPECT_THAT(text, HasSubstr("^[[2J"));
    EXPECT_THAT(text, HasSubstr("a^M^Jb^[[31m c"));
    for (const char* bad :
         {"\x1b[2J", "\x1b]", "\x1b[1m", "\x1b[5m", "\r", "\t", "\x07"}) {
      EXPECT_THAT(text, Not(HasSubstr(bad)));
    }
  }
}

TEST(TopView, ShowsAServerWithoutWorkersOrJobs) {
  TopModel model;
  model.server = "a:1";
  model.version = "0.1.0";
  model.queue.complete = true;
  const auto lines = DrawTop(model, Size(80, 24));
  ASSERT_THAT(lines, SizeIs(2)) << Text(lines);
  EXPECT_EQ(lines[1], "jobs: 0 queued, 0 starting, 0 running   workers: none");
}

TEST(TopView, ShowsThatTheServerIsAwayAndWhatWasKnown) {
  TopModel model = SomeModel();
  model.fault = "connection refused";
  model.away = absl::Seconds(75);
  auto lines = DrawTop(model, Size(120, 40));
  EXPECT_EQ(lines[1],
            "no answer for 1m15s, below is what was known; trying again: "
            "connection refused");
  EXPECT_THAT(Text(lines), HasSubstr("glyphs"));
  model = TopModel();
  model.server = "a:1";
  model.fault = "refused";
  lines = DrawTop(model, Size(80, 24));
  EXPECT_THAT(lines, ElementsAre("trainyard-server on a:1",
                                 "no answer for 0s; trying again: refused"));
}

TEST(TopView, DrawsBarsInAsciiWithoutUtf8) {
  TopScreen screen = Size(120, 40);
  screen.utf8 = false;
  const std::string text = Text(DrawTop(SomeModel(), screen));
  EXPECT_THAT(text, HasSubstr("####....  50%"));
  EXPECT_THAT(text, HasSubstr("41 C"));
}

}  // namespace
}  // namespace trainyard::trainctl
