#include "workers/agent/runner_events.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RunnerEventsTest, ReadsPoints) {
  const auto event = ParseRunnerEvent(
      R"({"event":"metrics","step":12,"total_steps":100.0,"epoch":2,"loss":0.25,
          "learning_rate":0.1,"samples_per_second":1e4,"rss_bytes":1024,
          "utilization":null,"validation_accuracy":0.97,"new_thing":[1]})");
  ASSERT_TRUE(event.ok()) << event.status();
  const auto& point = std::get<v1::MetricPoint>(*event);
  EXPECT_EQ(point.step(), 12u);
  EXPECT_EQ(point.total_steps(), 100u);
  EXPECT_EQ(point.epoch(), 2u);
  EXPECT_EQ(point.loss(), 0.25);
  EXPECT_EQ(point.samples_per_second(), 1e4);
  EXPECT_EQ(point.rss_bytes(), 1024u);
  EXPECT_EQ(point.validation_accuracy(), 0.97);
  EXPECT_FALSE(point.has_utilization());
  EXPECT_FALSE(point.has_power_watts());
}

TEST(RunnerEventsTest, ReadsEnds) {
  const auto finished =
      ParseRunnerEvent(R"({"event":"finished","outputs":["a","b"]})");
  EXPECT_THAT(std::get<TerminalEvent>(*finished).outputs,
              ElementsAre("a", "b"));
  const auto failed = ParseRunnerEvent(
      R"({"event":"failed","category":"out_of_memory","message":"no room"})");
  EXPECT_EQ(std::get<TerminalEvent>(*failed).category,
            FailureCategory::kOutOfMemory);
  EXPECT_EQ(std::get<TerminalEvent>(*failed).message, "no room");
  const auto checkpoint =
      ParseRunnerEvent(R"({"event":"checkpoint","step":3,"path":"/c"})");
  EXPECT_EQ(std::get<CheckpointEvent>(*checkpoint).path, "/c");
}

TEST(RunnerEventsTest, AnotherKindIsNotAnError) {
  const auto event = ParseRunnerEvent(R"({"event":"dance"})");
  EXPECT_EQ(std::get<UnknownEvent>(*event).name, "dance");
}

TEST(RunnerEventsTest, RefusesWhatItCannotTrust) {
  const struct {
    const char* line;
    const char* message;
  } kCases[] = {
      {"", "JSON object"},
      {"{", "JSON object"},
      {"[1]", "JSON object"},
      {"{}", "\"event\": must be a string"},
      {R"({"event":7})", "\"event\": must be a string"},
      {R"({"event":"metrics","step":-1})", "\"step\": must be a whole"},
      {R"({"event":"metrics","step":1.5})", "\"step\": must be a whole"},
      {R"({"event":"metrics","epoch":5000000000})", "\"epoch\": must be"},
      {R"({"event":"metrics","loss":"low"})", "\"loss\": must be a number"},
      {R"({"event":"metrics","loss":1e999})", "JSON object"},
      {R"({"event":"metrics","utilization":1.5})", "from 0 to 1"},
      {R"({"event":"finished","outputs":"a"})", "\"outputs\": must be"},
      {R"({"event":"finished","outputs":[1]})", "\"outputs\": must be"},
      {R"({"event":"failed","category":"crash"})", "\"message\": must be"},
      {R"({"event":"checkpoint","step":1})", "\"path\": must be a string"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.line);
    const auto event = ParseRunnerEvent(c.line);
    ASSERT_FALSE(event.ok());
    EXPECT_THAT(std::string(event.status().message()), HasSubstr(c.message));
  }
}

TEST(RunnerEventsTest, DeepNestingIsHarmless) {
  EXPECT_FALSE(ParseRunnerEvent(std::string(60000, '[')).ok());
  const std::string deep = R"({"event":"x","a":)" + std::string(30000, '[') +
                           std::string(30000, ']') + "}";
  EXPECT_TRUE(ParseRunnerEvent(deep).ok());
}

TEST(RunnerEventsTest, TextBecomesValidUtf8) {
  const auto event = ParseRunnerEvent(
      "{\"event\":\"failed\",\"category\":\"crash\",\"message\":\"\xff\"}");
  // JSON must be UTF-8: a line that is not is no event.
  EXPECT_FALSE(event.ok());
}

}  // namespace
}  // namespace trainyard::agent
