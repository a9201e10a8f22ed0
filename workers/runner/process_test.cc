// The program as a worker sees it: descriptors, signals, exit statuses.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/test_files.h"

namespace trainyard::runner {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Minutes(2);

// The runner with pipes at 3 and 4, as a worker starts it.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments,
                   bool with_pipes = true) {
    signal(SIGPIPE, SIG_IGN);
    int events[2];
    int commands[2];
    EXPECT_EQ(pipe2(events, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(commands, O_CLOEXEC), 0);
    std::vector<const char*> argv = {TRAINYARD_RUNNER};
    for (const std::string& one : arguments) argv.push_back(one.c_str());
    argv.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      if (with_pipes) {
        // Out of the way first: either may have the other's number.
        const int out = fcntl(events[1], F_DUPFD, 10);
        const int in = fcntl(commands[0], F_DUPFD, 10);
        dup2(out, 3);
        dup2(in, 4);
        close(out);
        close(in);
      }
      execv(TRAINYARD_RUNNER, const_cast<char* const*>(argv.data()));
      _exit(127);
    }
    close(events[1]);
    close(commands[0]);
    events_ = events[0];
    commands_ = commands[1];
  }
  ~Process() {
    CloseEvents();
    CloseCommands();
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  void CloseEvents() { Close(events_); }
  void CloseCommands() { Close(commands_); }
  void Signal(int number) { kill(child_, number); }
  void Command(const std::string& line) {
    EXPECT_GT(write(commands_, line.data(), line.size()), 0);
  }

  // The next event; null at the end of the file or out of patience.
  json NextEvent() {
    const absl::Time deadline = absl::Now() + kPatience;
    while (text_.find('\n') == std::string::npos) {
      if (events_ < 0) return {};
      pollfd waited = {.fd = events_, .events = POLLIN, .revents = 0};
      const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
      if (left <= 0 || poll(&waited, 1, static_cast<int>(left)) <= 0) return {};
      char buffer[4096];
      const ssize_t got = read(events_, buffer, sizeof(buffer));
      if (got <= 0) return {};
      text_.append(buffer, static_cast<size_t>(got));
    }
    const std::string line = text_.substr(0, text_.find('\n'));
    text_.erase(0, line.size() + 1);
    return json::parse(line);
  }
  json NextOf(const std::string& event) {
    json one = NextEvent();
    while (!one.is_null() && one["event"] != event) one = NextEvent();
    return one;
  }

  // waitpid's status once the process has ended. Reads events meanwhile.
  int Wait() {
    while (!NextEvent().is_null()) {
    }
    int status = -1;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    child_ = -1;
    return status;
  }
  int ExitStatus() {
    const int status = Wait();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static void Close(int& descriptor) {
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
  }

  pid_t child_ = -1;
  int events_ = -1;
  int commands_ = -1;
  std::string text_;
};

class RunnerProcess : public testing::Test {
 protected:
  RunnerProcess() {
    folder_.MakeFolder("work");
    for (const char* part : {"train", "t10k"}) {
      folder_.Write(absl::StrCat("data/", part, "-images-idx3-ubyte"),
                    data::IdxImages(64, 28, 28));
      folder_.Write(absl::StrCat("data/", part, "-labels-idx1-ubyte"),
                    data::IdxLabels(64, 4));
    }
  }

  json Spec(uint64_t max_steps) const {
    return {{"trainyard_runner", 1},
            {"job", 1},
            {"attempt", 1},
            {"training",
             {{"model", {{"architecture", "mlp"}}},
              {"data",
               {{"format", "idx"},
                {"source", {{"path", folder_.path() + "/data"}}}}},
              {"epochs", 1000000},
              {"max_steps", max_steps},
              {"batch_size", 16}}},
            {"device", {{"kind", "cpu"}, {"threads", 1}}},
            {"work_dir", folder_.path() + "/work"}};
  }
  std::vector<std::string> Arguments(const json& spec) const {
    return {"--spec", folder_.Write("spec.json", spec.dump())};
  }
  // A run that does not end by itself.
  std::vector<std::string> Endless() const { return Arguments(Spec(0)); }

  const data::TempFolder folder_;
};

TEST_F(RunnerProcess, FinishesWithZero) {
  Process runner(Arguments(Spec(3)));
  EXPECT_EQ(runner.NextEvent()["event"], "started");
  EXPECT_EQ(runner.NextOf("finished")["outputs"].size(), 4u);
  EXPECT_EQ(runner.ExitStatus(), 0);
  EXPECT_EQ(access((folder_.path() + "/work/output/report.json").c_str(), F_OK),
            0);
}

TEST_F(RunnerProcess, PredictsWithWhatTrainingLeft) {
  Process training(Arguments(Spec(3)));
  ASSERT_EQ(training.ExitStatus(), 0);
  // Three images, of which nobody knows what they show.
  folder_.Write("bare/t10k-images-idx3-ubyte", data::IdxImages(3, 28, 28));
  folder_.MakeFolder("ensemble");
  const std::string left = folder_.path() + "/work/output";
  const json spec = {
      {"trainyard_runner", 1},
      {"job", 2},
      {"attempt", 1},
      {"ensemble",
       {{"members",
         {{{"model",
            {{"architecture", "mlp"},
             {"weights", {{"path", left + "/model.safetensors"}}}}},
           {"config", {{"path", left + "/model.json"}}}}}},
        {"data",
         {{"format", "idx"}, {"source", {{"path", folder_.path() + "/bare"}}}}},
        {"batch_size", 2}}},
      {"device", {{"kind", "cpu"}, {"threads", 1}}},
      {"work_dir", folder_.path() + "/ensemble"}};
  Process runner(Arguments(spec));
  EXPECT_EQ(runner.NextEvent()["total_steps"], 2);
  EXPECT_EQ(runner.NextOf("finished")["outputs"],
            json({"predictions.jsonl", "metrics.jsonl", "report.json"}));
  EXPECT_EQ(runner.ExitStatus(), 0);
  std::ifstream predictions(folder_.path() +
                            "/ensemble/output/predictions.jsonl");
  std::string line;
  int lines = 0;
  while (std::getline(predictions, line)) {
    const json one = json::parse(line);
    EXPECT_EQ(one["index"], lines++);
    EXPECT_EQ(one["probabilities"].size(), 4u);
    EXPECT_FALSE(one.contains("label"));
  }
  EXPECT_EQ(lines, 3);
}

TEST_F(RunnerProcess, WritesCheckpointsAndStopsWhenTold) {
  Process runner(Endless());
  EXPECT_EQ(runner.NextEvent()["event"], "started");
  runner.Command("{\"command\":\"checkpoint\"}\n");
  const json checkpoint = runner.NextOf("checkpoint");
  EXPECT_EQ(access(checkpoint["path"].get<std::string>().c_str(), F_OK), 0);
  runner.Command("{\"command\":\"stop\"}\n");
  // The same step again where the command came before the next one.
  const json last = runner.NextOf("checkpoint");
  EXPECT_GE(last["step"], checkpoint["step"]);
  const json stopped = runner.NextEvent();
  EXPECT_EQ(stopped["event"], "stopped");
  EXPECT_EQ(stopped["step"], last["step"]);
  EXPECT_EQ(runner.ExitStatus(), 0);
}

TEST_F(RunnerProcess, EndsWhenTheWorkerIsGone) {
  Process runner(Endless());
  EXPECT_EQ(runner.NextEvent()["event"], "started");
  runner.CloseCommands();
  EXPECT_EQ(runner.ExitStatus(), 1);
}

TEST_F(RunnerProcess, EndsWhenNobodyListens) {
  Process runner(Endless());
  EXPECT_EQ(runner.NextEvent()["event"], "started");
  runner.CloseEvents();
  EXPECT_EQ(runner.ExitStatus(), 1);
}

TEST_F(RunnerProcess, EndsOnSigtermWithoutACheckpoint) {
  Process runner(Endless());
  EXPECT_EQ(runner.NextEvent()["event"], "started");
  runner.Signal(SIGTERM);
  const int status = runner.Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_F(RunnerProcess, FailsWithOneAndSaysWhy) {
  json spec = Spec(3);
  spec["training"]["epoch"] = 3;
  Process runner(Arguments(spec));
  const json failed = runner.NextEvent();
  EXPECT_EQ(failed["event"], "failed");
  EXPECT_EQ(failed["category"], "user_error");
  EXPECT_THAT(failed["message"].get<std::string>(),
              HasSubstr("did you mean \"epochs\"?"));
  EXPECT_EQ(runner.ExitStatus(), 1);
}

TEST_F(RunnerProcess, RefusesToStartWithoutItsDescriptors) {
  Process runner(Endless(), /*with_pipes=*/false);
  EXPECT_EQ(runner.ExitStatus(), 2);
}

}  // namespace
}  // namespace trainyard::runner
