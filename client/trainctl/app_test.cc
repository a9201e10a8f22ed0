#include "client/trainctl/app.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class AppTest : public ::testing::Test {
 protected:
  AppTest() {
    fs::create_directories(dir_);
    console_.out = &out_;
    console_.err = &err_;
    console_.width = [] { return 100; };
    console_.environment = [](const char*) { return std::nullopt; };
    console_.clock = &clock_;
    console_.interrupted = [this] { return interrupted_.load(); };
  }
  ~AppTest() override { fs::remove_all(dir_); }

  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    return RunApp(CommandTable(), arguments, console_);
  }

  std::string Write(const std::string& name, const std::string& text) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << text;
    return (dir_ / name).string();
  }

  void PutJob(const char* text) {
    v1::Job job;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &job));
    server_.PutJob(job);
  }

  void AddPoint(const std::string& job, const char* text) {
    v1::MetricPoint point;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &point));
    server_.AddPoint(job, point);
  }

  size_t Submissions() {
    absl::MutexLock lock(&server_.state().mutex);
    return server_.state().submissions.size();
  }

  const fs::path dir_ =
      fs::path(::testing::TempDir()) /
      (std::string("app_") +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  client::FakeServer server_;
  ManualClock clock_{absl::FromUnixSeconds(1000)};
  std::atomic<bool> interrupted_ = false;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_;
};

constexpr char kJob[] =
    "name: glyphs\n"
    "training:\n"
    "  model: {architecture: mlp}\n"
    "  data: {format: idx, source: /data}\n";

TEST_F(AppTest, SubmitsAFileWithChanges) {
  EXPECT_EQ(Run({"submit", Write("job.yaml", kJob), "--epochs", "5", "--device",
                 "cuda,cpu", "--label", "team=a", "--set",
                 "training.optimizer.momentum=0.9"}),
            kOk)
      << err_.str();
  EXPECT_EQ(out_.str(), "jobs/1 submitted\n");
  absl::MutexLock lock(&server_.state().mutex);
  const v1::JobSpec& spec = server_.state().submissions[0].spec();
  EXPECT_EQ(spec.training().epochs(), 5u);
  EXPECT_EQ(spec.training().optimizer().momentum(), 0.9);
  EXPECT_EQ(spec.resources().devices_size(), 2);
  EXPECT_EQ(spec.labels().at("team"), "a");
  EXPECT_EQ(server_.state().submissions[0].request_id().size(), 32u);
}

TEST_F(AppTest, SubmitsFromFlagsAlone) {
  EXPECT_EQ(
      Run({"submit", "--name", "17", "--architecture", "mlp", "--data", "/data",
           "--format", "idx", "--learning-rate", "1e-3", "--output", "json"}),
      kOk)
      << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("{\n  \"name\": \"jobs/1\""));
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_EQ(server_.state().submissions[0].spec().name(), "17");
}

TEST_F(AppTest, RefusesABadFileBeforeAnythingIsSent) {
  const std::string path =
      Write("job.yaml", std::string(kJob) + "  epocs: 3\n");
  EXPECT_EQ(Run({"submit", path}), kBadInput);
  EXPECT_EQ(err_.str(), "trainctl: " + path +
                            ":5: training.epocs: unknown field; did you mean "
                            "\"epochs\"?\n");
  EXPECT_EQ(Run({"submit"}), kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("nothing to submit"));
  EXPECT_EQ(Run({"submit", path + "x"}), kNotFound);
  EXPECT_EQ(Submissions(), 0u);
}

TEST_F(AppTest, ShowsTheServersRefusal) {
  EXPECT_EQ(Run({"submit", Write("job.yaml", kJob), "--priority", "1001"}),
            kBadInput);
  EXPECT_EQ(err_.str(), "trainctl: priority: 1001: must be -1000 to 1000\n");
}

TEST_F(AppTest, ADryRunUploadsAndSubmitsNothing) {
  Write("data/a", "abc");
  const std::string path = Write("job.yaml", kJob);
  EXPECT_EQ(Run({"submit", path, "--set",
                 "training.data.source.upload=" + (dir_ / "data").string(),
                 "--dry-run"}),
            kOk)
      << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("name: glyphs\ntraining:\n"));
  EXPECT_THAT(out_.str(), HasSubstr("artifact: \"sha256:"));
  EXPECT_THAT(err_.str(), HasSubstr("would upload "));
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_TRUE(server_.state().submissions[0].dry_run());
  EXPECT_TRUE(server_.state().jobs.empty());
  EXPECT_TRUE(server_.state().blobs.empty());
}

TEST_F(AppTest, UploadsWhatTheJobNeeds) {
  Write("data/a", "abc");
  EXPECT_EQ(Run({"submit", Write("job.yaml",
                                 "training:\n"
                                 "  model: {architecture: mlp}\n"
                                 "  data: {format: idx, source: ./data}\n")}),
            kOk)
      << err_.str();
  EXPECT_THAT(err_.str(), HasSubstr("uploaded "));
  EXPECT_THAT(err_.str(), HasSubstr("data: 1 file, 3 B"));
  absl::MutexLock lock(&server_.state().mutex);
  ASSERT_EQ(server_.state().submissions.size(), 2u);
  EXPECT_TRUE(server_.state().submissions[0].dry_run());
  const auto& source =
      server_.state().submissions[1].spec().training().data().source();
  EXPECT_THAT(source.artifact(), StartsWith("sha256:"));
  EXPECT_EQ(server_.state().blobs.count(source.artifact()), 1u);
  EXPECT_EQ(server_.state().blobs.size(), 2u);  // the file and the manifest
}

TEST_F(AppTest, ShowsUploadsFromWhereItWasCalled) {
  Write("data/a", "abc");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(dir_);
  EXPECT_EQ(Run({"artifacts", "upload", (dir_ / "data").string()}), kOk);
  std::filesystem::current_path(before);
  EXPECT_EQ(err_.str(), "uploaded data: 1 file, 3 B\n");
}

TEST_F(AppTest, UploadsOnlyForAJobThatTheServerFoundGood) {
  Write("data/a", "abc");
  const std::string path = Write("job.yaml",
                                 "training:\n"
                                 "  model: {architecture: mlp}\n"
                                 "  data: {format: idx, source: ./data}\n");
  EXPECT_EQ(Run({"submit", path, "--priority", "1001"}), kBadInput);
  EXPECT_EQ(err_.str(), "trainctl: priority: 1001: must be -1000 to 1000\n");
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_TRUE(server_.state().blobs.empty());
}

TEST_F(AppTest, SaysWhichUploadsWereThereAlready) {
  Write("data/a", "abc");
  const std::string path = Write("job.yaml",
                                 "training:\n"
                                 "  model: {architecture: mlp}\n"
                                 "  data: {format: idx, source: ./data}\n");
  const std::string folder = (dir_ / "data").string() + ": 1 file, 3 B\n";
  EXPECT_EQ(Run({"submit", path}), kOk);
  EXPECT_EQ(err_.str(), "uploaded " + folder);
  for (const char* flag : {"--follow=false", "--dry-run"}) {
    EXPECT_EQ(Run({"submit", path, flag}), kOk);
    EXPECT_THAT(err_.str(), StartsWith("the server already has " + folder));
  }
  EXPECT_EQ(Run({"artifacts", "upload", (dir_ / "data").string()}), kOk);
  EXPECT_EQ(err_.str(), "the server already has " + folder);
}

TEST_F(AppTest, FollowsToTheEndThroughABrokenConnection) {
  {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().break_streams_after = 1;
  }
  std::thread cluster([this] {
    const auto watched = [this] {
      return server_.state().watched_from.size() >= 2;
    };
    {
      absl::MutexLock lock(&server_.state().mutex);
      server_.state().mutex.Await(absl::Condition(&watched));
    }
    AddPoint("jobs/1", "step: 10 total_steps: 20 epoch: 1 loss: 0.5");
    AddPoint("jobs/1",
             "step: 20 total_steps: 20 epoch: 1 validation_accuracy: 0.975");
    PutJob(R"(name: "jobs/1" state: STATE_SUCCEEDED
              spec { training { model { architecture: "mlp" } } }
              attempts { number: 1 worker: "workers/a" devices: "cpu"
                         outcome: OUTCOME_SUCCEEDED }
              outputs { name: "report.json" artifact: "sha256:ab" })");
  });
  const int code = Run({"submit", Write("job.yaml", kJob), "--follow"});
  cluster.join();
  EXPECT_EQ(code, kOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("jobs/1 submitted\njobs/1 queued\n"));
  EXPECT_THAT(out_.str(), HasSubstr("connection lost"));
  EXPECT_THAT(out_.str(),
              HasSubstr("jobs/1 epoch 1: validation accuracy 97.50 %\n"));
  EXPECT_THAT(out_.str(), HasSubstr("jobs/1 100 % epoch 1/1 step 20/20"));
  EXPECT_THAT(out_.str(), HasSubstr("fetch them: trainctl artifacts download"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("\x1b")));
}

TEST_F(AppTest, ExitStatusTellsTheOutcome) {
  PutJob("name: 'jobs/1' state: STATE_SUCCEEDED");
  PutJob("name: 'jobs/2' state: STATE_FAILED reason: 'no luck'");
  PutJob("name: 'jobs/3' state: STATE_CANCELLED");
  EXPECT_EQ(Run({"watch", "1"}), kOk);
  EXPECT_EQ(Run({"watch", "jobs/2"}), kJobFailed);
  EXPECT_THAT(out_.str(), HasSubstr("jobs/2 failed: no luck\n"));
  EXPECT_EQ(Run({"watch", "3", "--output", "json"}), kJobCancelled);
  EXPECT_EQ(out_.str(),
            "{\n  \"name\": \"jobs/3\",\n  \"state\": \"cancelled\",\n  "
            "\"revision\": 3\n}\n");
  EXPECT_EQ(Run({"watch", "4"}), kNotFound);
  EXPECT_EQ(err_.str(), "trainctl: jobs/4: no such job\n");
  EXPECT_EQ(Run({"watch", "four"}), kBadInput);
}

TEST_F(AppTest, DetachesOnCtrlCAndSaysHowToComeBack) {
  PutJob("name: 'jobs/1' state: STATE_RUNNING");
  std::thread user([this] {
    const auto watched = [this] {
      return !server_.state().watched_from.empty();
    };
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().mutex.Await(absl::Condition(&watched));
    interrupted_ = true;
  });
  EXPECT_EQ(Run({"watch", "1"}), kDetached);
  user.join();
  EXPECT_THAT(out_.str(), HasSubstr("detached; jobs/1 goes on. Come back with: "
                                    "trainctl watch jobs/1\n"));
}

TEST_F(AppTest, ATerminalGetsOneLineThatChanges) {
  console_.out_is_terminal = true;
  console_.colour = true;
  PutJob("name: 'jobs/1' state: STATE_RUNNING");
  AddPoint("jobs/1", "step: 10 total_steps: 20 epoch: 1 loss: 0.5");
  std::thread cluster([this] {
    const auto read = [this] { return server_.state().log_cursors.size() > 0; };
    {
      absl::MutexLock lock(&server_.state().mutex);
      server_.state().mutex.Await(absl::Condition(&read));
    }
    PutJob("name: 'jobs/1' state: STATE_SUCCEEDED");
  });
  EXPECT_EQ(Run({"watch", "1"}), kOk);
  cluster.join();
  EXPECT_THAT(out_.str(), HasSubstr("\rjobs/1  [██████████░░░░░░░░░░]   50 %"));
  EXPECT_THAT(out_.str(), HasSubstr("\r\x1b[K"));
  EXPECT_THAT(out_.str(), HasSubstr("\x1b[32msucceeded\x1b[0m"));
}

TEST_F(AppTest, WatchesAllJobsUntilCtrlC) {
  PutJob("name: 'jobs/1' state: STATE_RUNNING");
  PutJob("name: 'jobs/2' state: STATE_QUEUED reason: 'waits'");
  std::thread user([this] {
    const auto watched = [this] {
      return !server_.state().watched_from.empty();
    };
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().mutex.Await(absl::Condition(&watched));
    interrupted_ = true;
  });
  EXPECT_EQ(Run({"watch"}), kDetached);
  user.join();
}

TEST_F(AppTest, ListsJobsByPagesAndFilters) {
  PutJob(R"(name: "jobs/1" spec { name: "a" } state: STATE_SUCCEEDED
            submit_time { seconds: 940 })");
  PutJob(R"(name: "jobs/2" spec { name: "b" } state: STATE_RUNNING
            submit_time { seconds: 990 } progress { step: 5 total_steps: 20 }
            attempts { number: 1 worker: "workers/mini" devices: "mps" })");
  EXPECT_EQ(Run({"list"}), kOk);
  EXPECT_EQ(out_.str(),
            "JOB     NAME  STATE      PROGRESS  WORKER    AGE    REASON\n"
            "jobs/2  b     running    25 %      mini mps  10s    -\n"
            "jobs/1  a     succeeded  -         -         1m00s  -\n");
  EXPECT_EQ(Run({"list", "--state", "running,queued", "--output", "json"}),
            kOk);
  EXPECT_THAT(out_.str(), HasSubstr("jobs/2"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("jobs/1")));
  EXPECT_EQ(Run({"list", "--limit", "1"}), kOk);
  EXPECT_EQ(err_.str(), "there are more: trainctl list --page 1\n");
  EXPECT_EQ(Run({"list", "--page", "1"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("jobs/1"));
  EXPECT_EQ(Run({"list", "--name", "none", "--output", "json"}), kOk);
  EXPECT_EQ(out_.str(), "{\n  \"jobs\": []\n}\n");
  EXPECT_EQ(Run({"list", "--state", "runing"}), kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("--state runing: must be one of queued,"));
}

TEST_F(AppTest, GetsAJobAndItsSpecAsYaml) {
  PutJob(R"(name: "jobs/1" state: STATE_RUNNING
            spec { name: "a" training { model { architecture: "mlp" } } })");
  EXPECT_EQ(Run({"get", "1", "--output", "yaml"}), kOk);
  EXPECT_THAT(out_.str(), StartsWith("name: jobs/1\nspec:\n  name: a\n"));
  EXPECT_EQ(Run({"get", "1", "--spec"}), kOk);
  EXPECT_EQ(out_.str(),
            "name: a\ntraining:\n  model:\n    architecture: mlp\n");
}

TEST_F(AppTest, GetsTheAccuracyOfAnEnsemble) {
  PutJob(R"(name: "jobs/1" state: STATE_SUCCEEDED
            spec { ensemble { members { name: "a" job: "jobs/7" } } })");
  AddPoint("jobs/1", "step: 7 total_steps: 8");
  AddPoint("jobs/1", "step: 8 total_steps: 8 validation_accuracy: 0.975");
  EXPECT_EQ(Run({"get", "1"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("members      1: a (jobs/7)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("result       accuracy 97.50 %\n"));
}

TEST_F(AppTest, UploadsWhatTheMembersOfAnEnsembleNeed) {
  Write("data/a", "abc");
  Write("a.safetensors", "one");
  Write("b.pt", "two");
  Write("model.json", "{}");
  const std::string file = Write(
      "job.yaml",
      "ensemble:\n"
      "  members:\n"
      "    - model: {architecture: mlp, weights: ./a.safetensors}\n"
      "      config: ./model.json\n"
      "    - {torchscript: {upload: ./b.pt}, config: ./model.json, weight: 0}\n"
      "    - job: jobs/7\n"
      "  data: {format: idx, source: ./data}\n"
      "  outputs: [jsonl, npy]\n");
  ASSERT_EQ(Run({"submit", file}), kOk) << err_.str();
  // What several members name is sent once.
  EXPECT_THAT(err_.str(), HasSubstr("model.json: 1 file, 2 B"));
  EXPECT_EQ(err_.str().find("model.json: "), err_.str().rfind("model.json: "));
  absl::MutexLock lock(&server_.state().mutex);
  const auto& ensemble = server_.state().submissions.back().spec().ensemble();
  ASSERT_EQ(ensemble.members_size(), 3);
  for (const v1::Source& source :
       {ensemble.members(0).model().weights(), ensemble.members(0).config(),
        ensemble.members(1).torchscript(), ensemble.members(1).config(),
        ensemble.data().source()}) {
    EXPECT_EQ(server_.state().blobs.count(source.artifact()), 1u);
  }
  EXPECT_TRUE(ensemble.members(1).has_weight());
  EXPECT_EQ(ensemble.members(2).job(), "jobs/7");
  EXPECT_EQ(ensemble.outputs_size(), 2);
}

TEST_F(AppTest, ShowsLogsAndMetrics) {
  PutJob("name: 'jobs/1' state: STATE_SUCCEEDED attempts { number: 1 }");
  for (const char* text : {"one", "two", "three"}) {
    server_.AddLine("jobs/1", text);
  }
  AddPoint("jobs/1", "step: 5 epoch: 1 loss: 0.25");
  AddPoint("jobs/1", "step: 6 epoch: 1 utilization: 0.5");
  EXPECT_EQ(Run({"logs", "1"}), kOk);
  EXPECT_EQ(out_.str(), "one\ntwo\nthree\n");
  EXPECT_EQ(Run({"logs", "1", "--attempt", "9"}), kNotFound);
  EXPECT_EQ(err_.str(),
            "trainctl: jobs/1 has no attempt 9: its newest is attempt 1\n");
  EXPECT_EQ(Run({"logs", "1", "--attempt", "1"}), kOk);
  EXPECT_EQ(Run({"metrics", "1", "--attempt", "2", "-f"}), kNotFound);
  EXPECT_EQ(Run({"logs", "1", "-f", "--tail", "1"}), kOk);
  EXPECT_EQ(out_.str(), "three\n");
  EXPECT_EQ(Run({"metrics", "1", "--output", "json"}), kOk);
  const Json points = Json::parse(out_.str());
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0]["point"]["loss"], 0.25);
  EXPECT_EQ(Run({"metrics", "1", "--follow", "--output", "json"}), kOk);
  EXPECT_EQ(out_.str(),
            "{\"attempt\":1,\"point\":{\"step\":5,\"epoch\":1,\"loss\":0.25}}\n"
            "{\"attempt\":1,\"point\":{\"step\":6,\"epoch\":1,\"utilization\":"
            "0.5}}\n");
  EXPECT_EQ(Run({"metrics", "1"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("0.2500"));
  EXPECT_THAT(out_.str(), HasSubstr("50%"));
}

TEST_F(AppTest, PlotsMetrics) {
  PutJob("name: 'jobs/1' state: STATE_SUCCEEDED attempts { number: 1 }");
  EXPECT_EQ(Run({"metrics", "1", "--plot"}), kOk) << err_.str();
  EXPECT_EQ(out_.str(), "no figures yet\n");
  AddPoint("jobs/1", "step: 5 loss: 0.75 samples_per_second: 1500");
  AddPoint("jobs/1", "step: 6 loss: 0.25 validation_loss: 0.5");
  EXPECT_EQ(Run({"metrics", "1", "--plot", "--ascii"}), kOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("loss  last 0.25  min 0.25  max 0.75  o "
                                     "validation 0.5\n"));
  EXPECT_THAT(out_.str(), HasSubstr("\n\nsamples_per_second  last 1,500 /s"));
  EXPECT_EQ(Run({"metrics", "1", "--plot", "loss,utilization", "--follow"}),
            kOk);
  EXPECT_THAT(out_.str(), HasSubstr("\n\nutilization: no figures\n"));
  EXPECT_EQ(Run({"metrics", "1", "--plot", "--over", "time"}), kOk);
  EXPECT_EQ(out_.str(), "no figures yet\n");  // these points have no time
  console_.environment = [](const char* name) -> std::optional<std::string> {
    if (std::string(name) == "LANG") return "de_DE.UTF-8";
    return std::nullopt;
  };
  EXPECT_EQ(Run({"metrics", "1", "--plot=loss"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("┤"));
  EXPECT_EQ(Run({"metrics", "1", "--plot", "los"}), kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("did you mean loss?"));
  EXPECT_EQ(Run({"metrics", "1", "--plot", "--output", "json"}), kBadInput);
  EXPECT_EQ(Run({"metrics", "1", "--over", "time"}), kBadInput);
  EXPECT_EQ(Run({"metrics", "2", "--plot", "--attempt", "1"}), kNotFound);
}

// What a view drew; keys come from `press`, which is asked after each frame.
class FakeScreen : public Screen {
 public:
  FakeScreen(std::vector<std::string>* frames, std::function<int()> press)
      : frames_(frames), press_(std::move(press)) {}
  void Draw(const std::vector<std::string>& lines) override {
    frames_->push_back(absl::StrJoin(lines, "\n"));
  }
  int WaitKey(absl::Duration) override { return press_(); }

 private:
  std::vector<std::string>* const frames_;
  const std::function<int()> press_;
};

class ViewTest : public AppTest {
 protected:
  ViewTest() {
    console_.out_is_terminal = true;
    console_.height = [] { return 24; };
    console_.take_terminal = [this] {
      return std::make_unique<FakeScreen>(&frames_,
                                          [this] { return press_(); });
    };
  }
  bool LastHas(const std::string& text) const {
    return !frames_.empty() && absl::StrContains(frames_.back(), text);
  }

  std::vector<std::string> frames_;
  std::function<int()> press_ = [] { return Screen::kNoKey; };
};

constexpr char kBusyWorker[] =
    "name: 'workers/mini' state: STATE_ONLINE devices { id: 'cpu' }";

TEST_F(ViewTest, TopShowsTheServerUntilQ) {
  {
    absl::MutexLock lock(&server_.state().mutex);
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        kBusyWorker, &server_.state().workers["workers/mini"]));
  }
  PutJob("name: 'jobs/1' state: STATE_RUNNING spec { name: 'glyphs' }");
  PutJob("name: 'jobs/2' state: STATE_QUEUED reason: 'nobody is free'");
  PutJob("name: 'jobs/3' state: STATE_SUCCEEDED spec { name: 'over' }");
  press_ = [this] { return LastHas("jobs/1") ? 'q' : Screen::kNoKey; };
  EXPECT_EQ(Run({"top"}), kOk) << err_.str();
  ASSERT_FALSE(frames_.empty());
  EXPECT_TRUE(LastHas("nobody is free")) << frames_.back();
  EXPECT_TRUE(LastHas("mini")) << frames_.back();
  EXPECT_FALSE(LastHas("over"));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(ViewTest, TopGoesOnWhenTheServerIsBack) {
  PutJob("name: 'jobs/1' state: STATE_RUNNING");
  server_.FailNext(1, grpc::StatusCode::UNAVAILABLE);
  bool was_away = false;
  press_ = [&] {
    was_away = was_away || LastHas("no answer for");
    interrupted_ = was_away && LastHas("jobs/1") && !LastHas("no answer");
    return Screen::kNoKey;
  };
  EXPECT_EQ(Run({"top"}), kOk) << err_.str();
  EXPECT_TRUE(was_away);
}

TEST_F(ViewTest, TopEndsWhereItIsRefusedOrTheTerminalGoes) {
  server_.FailNext(100, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Run({"top"}), kRefused);
  EXPECT_THAT(err_.str(), HasSubstr("a fault that the test asked for"));
  press_ = [] { return Screen::kGone; };
  server_.FailNext(0, grpc::StatusCode::OK);
  EXPECT_EQ(Run({"top"}), kOk);
}

TEST_F(ViewTest, TopOncePrintsASnapshot) {
  PutJob("name: 'jobs/1' state: STATE_RUNNING spec { name: 'glyphs' }");
  for (int i = 100; i < 350; ++i) {  // two pages
    PutJob(absl::StrCat("name: 'jobs/", i, "' state: STATE_QUEUED").c_str());
  }
  EXPECT_EQ(Run({"top", "--once"}), kOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("jobs: 250 queued, 0 starting, 1 running"));
  EXPECT_THAT(out_.str(), HasSubstr("and 50 more"));
  EXPECT_THAT(frames_, ::testing::IsEmpty());
  EXPECT_EQ(Run({"top", "--output", "json"}), kOk);
  const Json json = Json::parse(out_.str());
  EXPECT_EQ(json["queued_count"], 250);
  EXPECT_EQ(json["queued"][0]["name"], "jobs/100");
  EXPECT_EQ(json["active"][0]["spec"]["name"], "glyphs");
  EXPECT_EQ(json["complete"], true);
  console_.out_is_terminal = false;
  EXPECT_EQ(Run({"top"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("jobs/100"));
  EXPECT_THAT(frames_, ::testing::IsEmpty());
  server_.FailNext(1, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Run({"top", "--once"}), kUnreachable);
}

TEST_F(ViewTest, FollowsAPlotToTheEndOrUntilItIsLeft) {
  PutJob("name: 'jobs/1' state: STATE_RUNNING");
  AddPoint("jobs/1", "step: 1 loss: 4");
  press_ = [this] { return LastHas("last 4") ? 'q' : Screen::kNoKey; };
  EXPECT_EQ(Run({"metrics", "1", "--plot", "loss", "-f"}), kDetached);
  EXPECT_THAT(out_.str(), StartsWith("loss  last 4"));
  bool added = false;
  press_ = [this, &added] {
    if (LastHas("last 4") && !added) AddPoint("jobs/1", "step: 2 loss: 3");
    added = added || LastHas("last 4");
    if (LastHas("last 3")) PutJob("name: 'jobs/1' state: STATE_SUCCEEDED");
    return Screen::kNoKey;
  };
  EXPECT_EQ(Run({"metrics", "1", "--plot", "loss", "-f"}), kOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("loss  last 3"));
}

TEST_F(AppTest, CancelsJobs) {
  PutJob("name: 'jobs/1' state: STATE_QUEUED");
  PutJob("name: 'jobs/2' state: STATE_SUCCEEDED");
  EXPECT_EQ(Run({"cancel", "1", "--reason", "typo"}), kOk);
  EXPECT_EQ(out_.str(), "jobs/1 cancelled\n");
  EXPECT_EQ(Run({"cancel", "2"}), kRefused);
  EXPECT_EQ(Run({"cancel", "2", "1"}), kRefused);
  EXPECT_EQ(out_.str(), "jobs/1 cancelled\n");
  EXPECT_EQ(Run({"cancel", "2", "x"}), kBadInput);
  EXPECT_EQ(Run({"cancel", "9", "8"}), kNotFound);
  EXPECT_EQ(err_.str(),
            "trainctl: jobs/9: no such job\ntrainctl: jobs/8: no such job\n");
}

TEST_F(AppTest, ShowsAndDrainsWorkers) {
  {
    absl::MutexLock lock(&server_.state().mutex);
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"(name: "workers/mini" state: STATE_ONLINE version: "0.1.0"
           platform: "linux x86_64" last_seen_time { seconds: 998 }
           devices { id: "cpu" kind: DEVICE_KIND_CPU model: "M4" cores: 10
                     memory_bytes: 2147483648 free_memory_bytes: 1073741824
                     utilization: 0.25 power_watts: 11.6 }
           disk { free_bytes: 1073741824 size_bytes: 2147483648 })",
        &server_.state().workers["workers/mini"]));
  }
  EXPECT_EQ(Run({"workers"}), kOk);
  EXPECT_EQ(
      out_.str(),
      "WORKER        STATE   "
      "DEVICES                                                     "
      "DISK                     RUNNING  SEEN    VERSION  PLATFORM\n"
      "workers/mini  online  "
      "cpu M4, 10 cores, 1.0 GiB of 2.0 GiB free, 25 % busy, 12 W  "
      "1.0 GiB of 2.0 GiB free  -        2s ago  0.1.0    linux x86_64\n");
  EXPECT_EQ(Run({"drain", "mini"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("gets no new jobs"));
  EXPECT_EQ(Run({"drain", "workers/mini", "--undo"}), kOk);
  EXPECT_EQ(out_.str(), "workers/mini is in service\n");
  EXPECT_EQ(Run({"drain", "other"}), kNotFound);
  EXPECT_EQ(Run({"drain", "Other!"}), kBadInput);
}

TEST_F(AppTest, MovesArtifactsBothWays) {
  const std::string path = Write("model", "weights");
  EXPECT_EQ(Run({"artifacts", "upload", path}), kOk) << err_.str();
  const std::string name = out_.str().substr(0, out_.str().size() - 1);
  EXPECT_THAT(name, StartsWith("sha256:"));
  EXPECT_EQ(Run({"artifacts", "list"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr(name + "  7 B"));
  PutJob(absl::StrCat("name: 'jobs/1' state: STATE_SUCCEEDED outputs { name: "
                      "'m.safetensors' artifact: '",
                      name, "' size_bytes: 7 }")
             .c_str());
  const std::string out = (dir_ / "out").string();
  for (std::vector<std::string> how :
       {std::vector<std::string>{"jobs/1"}, {"--job", "1"}}) {
    fs::remove_all(out);
    how.insert(how.begin(), {"artifacts", "download"});
    how.insert(how.end(), {"--out", out});
    EXPECT_EQ(Run(how), kOk) << err_.str();
    EXPECT_EQ(out_.str(), out + "/m.safetensors\n");
    EXPECT_EQ(fs::file_size(out + "/m.safetensors"), 7u);
  }
  EXPECT_EQ(Run({"artifacts", "download", name, "-o", out + "/copy"}), kOk);
  EXPECT_EQ(fs::file_size(out + "/copy"), 7u);
  // What is there already stays, unless told otherwise.
  EXPECT_EQ(Run({"artifacts", "download", name, "-o", out + "/copy"}), kOk);
  for (const char* file : {"out/copy", "out/m.safetensors"}) {
    Write(file, "precious");
  }
  for (const std::vector<std::string>& what :
       {std::vector<std::string>{name, "-o", out + "/copy"},
        {"jobs/1", "-o", out}}) {
    std::vector<std::string> download = {"artifacts", "download"};
    download.insert(download.end(), what.begin(), what.end());
    EXPECT_EQ(Run(download), kRefused);
    EXPECT_THAT(err_.str(), HasSubstr(": is there already, with other content: "
                                      "--out writes elsewhere, --force"));
  }
  EXPECT_EQ(fs::file_size(out + "/copy"), 8u);
  EXPECT_EQ(fs::file_size(out + "/m.safetensors"), 8u);
  EXPECT_EQ(Run({"artifacts", "download", "1", "-o", out, "--force"}), kOk);
  EXPECT_EQ(fs::file_size(out + "/m.safetensors"), 7u);
  EXPECT_EQ(Run({"artifacts", "download", "sha256:12"}), kBadInput);
  EXPECT_EQ(Run({"artifacts", "download"}), kBadInput);
}

TEST_F(AppTest, RefusesOutputNamesThatLeaveTheFolder) {
  PutJob(R"(name: "jobs/1" state: STATE_SUCCEEDED
            outputs { name: "../../evil" artifact: "sha256:ab" })");
  EXPECT_EQ(Run({"artifacts", "download", "1", "--out", dir_.string()}),
            kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("../../evil"));
}

TEST_F(AppTest, ShowsVersionsOfBothSides) {
  EXPECT_EQ(Run({"version"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("server   9.9.9"));
  EXPECT_EQ(Run({"version", "--output", "json"}), kOk);
  EXPECT_EQ(Json::parse(out_.str())["server"], "9.9.9");
}

TEST_F(AppTest, SuggestsTheNearestCommandAndFlag) {
  EXPECT_EQ(Run({"sumbit", "job.yaml"}), kBadInput);
  EXPECT_THAT(err_.str(),
              StartsWith("trainctl: \"sumbit\" is no command; did you "
                         "mean \"submit\"?\nSee: trainctl --help\n"));
  EXPECT_EQ(Run({"list", "--stat", "running"}), kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("did you mean \"--state\"?"));
  EXPECT_EQ(Run({"list", "--output", "xml"}), kBadInput);
  EXPECT_THAT(err_.str(), HasSubstr("xml: must be table, json or yaml"));
  EXPECT_EQ(Run({"logs", "1", "--tail", "-5"}), kBadInput);
}

TEST_F(AppTest, PrintsHelpWithTheExitStatuses) {
  EXPECT_EQ(Run({"--help"}), kOk);
  EXPECT_THAT(out_.str(), HasSubstr("130  detached by Ctrl-C"));
}

TEST_F(AppTest, PrintsCompletionsForEachShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(Run({"completion", shell}), kOk);
    EXPECT_THAT(out_.str(), HasSubstr("learning-rate")) << shell;
    EXPECT_THAT(out_.str(), HasSubstr("download")) << shell;
  }
  EXPECT_EQ(Run({"completion", "tcsh"}), kBadInput);
}

TEST_F(AppTest, AWrongValueIsNamedWithItsOptionAndWhatWouldBeRight) {
  struct Row {
    std::vector<std::string> arguments;
    const char* error;
  };
  const Row kRows[] = {
      {{"list", "--limit", "0"},
       "--limit: 0: must be a whole number from 1 to 1000000"},
      {{"list", "--limit", "many"}, "--limit: many: must be a whole number"},
      {{"logs", "1", "--tail", "-1"}, "--tail: -1: must be a whole number"},
      {{"metrics", "1", "--attempt", "x"},
       "--attempt: x: must be a whole number"},
      {{"metrics", "1", "--plot", "--over", "day"},
       "--over: day: must be step or time"},
      {{"cloud", "estimate", "--hours", "nan"},
       "--hours: nan: must be a number from 0.001 to 100000"},
      {{"completion", "csh"}, "shell: csh: must be bash, zsh or fish"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(Run(row.arguments), kBadInput) << row.error;
    EXPECT_THAT(err_.str(), StartsWith(std::string("trainctl: ") + row.error));
  }
  std::ostringstream err;
  console_.err = &err;
  EXPECT_EQ(RunApp(CommandTable(), {"list", "--limit"}, console_), kBadInput);
  EXPECT_THAT(err.str(), StartsWith("trainctl: --limit: has no value"));
}

TEST_F(AppTest, TellsItsVersionWithoutAServer) {
  EXPECT_EQ(RunApp(CommandTable(), {"--version"}, console_), kOk);
  EXPECT_THAT(out_.str(), ::testing::MatchesRegex("trainctl [0-9.]+\n"));
}

TEST_F(AppTest, SaysWhichServerCannotBeReached) {
  std::ostringstream err;
  console_.err = &err;
  std::string address;
  {
    const client::FakeServer gone;
    address = gone.address();
  }
  EXPECT_EQ(RunApp(CommandTable(), {"list", "--server", address}, console_),
            kUnreachable);
  EXPECT_THAT(err.str(),
              StartsWith("trainctl: server " + address +
                         " cannot be reached: nothing listens there\n"));
}

}  // namespace
}  // namespace trainyard::trainctl
