// The two pipes of the protocol: events out, commands in.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/runner/events.h"
#include "workers/runner/mailbox.h"

namespace trainyard::runner {
namespace {

using nlohmann::json;

class Pipe {
 public:
  Pipe() {
    signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(pipe(ends_.data()), 0);
  }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void CloseRead() { Close(ends_[0]); }
  void CloseWrite() { Close(ends_[1]); }
  void Write(const std::string& text) {
    EXPECT_EQ(write(ends_[1], text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  // What is there now.
  std::string Read() {
    std::string text(1 << 20, '\0');
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    size_t size = 0;
    while (true) {
      const ssize_t got =
          read(ends_[0], text.data() + size, text.size() - size);
      if (got <= 0) break;
      size += static_cast<size_t>(got);
    }
    return text.substr(0, size);
  }

 private:
  static void Close(int& end) {
    if (end >= 0) close(end);
    end = -1;
  }
  std::array<int, 2> ends_;
};

constexpr EventTimeouts kImpatient = {absl::ZeroDuration(),
                                      absl::Milliseconds(1)};

TEST(Events, AreOneJsonObjectALine) {
  Pipe pipe;
  Events events(pipe.write_end(), kImpatient);
  EXPECT_TRUE(events.Started(0, 938, 93322, "cpu").ok());
  EXPECT_TRUE(events.Checkpoint(7, "/w/checkpoints/a").ok());
  EXPECT_TRUE(events.Finished({"model.safetensors"}).ok());
  EXPECT_EQ(pipe.Read(),
            "{\"device\":\"cpu\",\"event\":\"started\",\"parameters\":93322,"
            "\"step\":0,\"total_steps\":938}\n"
            "{\"event\":\"checkpoint\",\"path\":\"/w/checkpoints/a\","
            "\"step\":7}\n"
            "{\"event\":\"finished\",\"outputs\":[\"model.safetensors\"]}\n");
}

TEST(Events, SayWhoIsToBlame) {
  Pipe pipe;
  Events events(pipe.write_end(), kImpatient);
  EXPECT_TRUE(
      events.Failed(absl::InvalidArgumentError("bad \xff\nthing")).ok());
  const json event = json::parse(pipe.Read());
  EXPECT_EQ(event["category"], "user_error");
  EXPECT_EQ(CategoryOf(absl::ResourceExhaustedError("")),
            FailureCategory::kOutOfMemory);
  EXPECT_EQ(CategoryOf(absl::UnavailableError("")),
            FailureCategory::kInfrastructure);
  EXPECT_EQ(CategoryOf(absl::InternalError("")), FailureCategory::kCrash);
  EXPECT_EQ(CategoryOf(absl::DataLossError("")), FailureCategory::kUserError);
}

TEST(Events, StayBelowTheLineLimit) {
  Pipe pipe;
  Events events(pipe.write_end(), kImpatient);
  EXPECT_TRUE(
      events.Failed(absl::InternalError(std::string(1 << 20, '\x01'))).ok());
  EXPECT_LT(pipe.Read().size(), size_t{64} << 10);
}

TEST(Events, DropMetricsRatherThanWait) {
  Pipe pipe;
  Events events(pipe.write_end(), kImpatient);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(events.Metrics({{"step", i}, {"pad", "0123456789"}}).ok());
  }
  EXPECT_GT(events.dropped_metrics(), 0u);
  const std::string text = pipe.Read();
  EXPECT_EQ(text.back(), '\n');  // no line was cut
}

TEST(Events, FailWhenNobodyReads) {
  Pipe pipe;
  Events events(pipe.write_end(), kImpatient);
  absl::Status written;
  for (int i = 0; i < 100'000 && written.ok(); ++i) {
    written = events.Checkpoint(1, "/path");
  }
  EXPECT_EQ(written.code(), absl::StatusCode::kUnavailable);
}

TEST(Events, FailWhenTheReaderIsGone) {
  Pipe pipe;
  pipe.CloseRead();
  Events events(pipe.write_end(), kImpatient);
  EXPECT_EQ(events.Started(0, 1, 1, "cpu").code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(events.Metrics({{"step", 1}}).code(),
            absl::StatusCode::kUnavailable);
}

TEST(ObeyLine, KnowsCheckpointAndStopOnly) {
  Mailbox mailbox;
  for (const char* line : {"", "{", "[]", "3", "{\"command\":7}",
                           "{\"command\":\"dance\"}", "{\"event\":\"stop\"}"}) {
    ObeyLine(line, &mailbox);
  }
  EXPECT_FALSE(mailbox.stop_wanted());
  EXPECT_FALSE(mailbox.TakeCheckpoint());
  ObeyLine("{\"command\":\"checkpoint\",\"more\":1}", &mailbox);
  EXPECT_TRUE(mailbox.TakeCheckpoint());
  EXPECT_FALSE(mailbox.TakeCheckpoint());
  ObeyLine("{\"command\":\"stop\"}", &mailbox);
  EXPECT_TRUE(mailbox.stop_wanted());
}

TEST(CommandReader, ReadsUntilTheWorkerIsGone) {
  Pipe pipe;
  Mailbox mailbox;
  absl::Notification gone;
  CommandReader reader(pipe.read_end(), &mailbox, [&] { gone.Notify(); });
  pipe.Write("{\"command\":");
  pipe.Write("\"checkpoint\"}\n\n");
  pipe.Write(std::string(70'000, 'x').substr(0, 60'000));  // over-long with:
  pipe.Write(std::string(10'000, 'x') + "\n{\"command\":\"stop\"}\n");
  pipe.CloseWrite();
  ASSERT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_TRUE(mailbox.TakeCheckpoint());
  EXPECT_TRUE(mailbox.stop_wanted());
}

TEST(CommandReader, EndsWithoutInput) {
  Pipe pipe;
  Mailbox mailbox;
  bool ended = false;
  {
    CommandReader reader(pipe.read_end(), &mailbox, [&] { ended = true; });
  }
  EXPECT_FALSE(ended);
}

}  // namespace
}  // namespace trainyard::runner
