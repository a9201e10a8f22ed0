#include "workers/runner/options.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::runner {
namespace {

using testing::HasSubstr;

TEST(ParseOptions, TakesBothSpellings) {
  const auto options = ParseOptions(
      {"--spec", "/s.json", "--events-fd=1", "--commands-fd", "-1"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->mode, Mode::kRun);
  EXPECT_EQ(options->spec, "/s.json");
  EXPECT_EQ(options->events_fd, 1);
  EXPECT_EQ(options->commands_fd, -1);
}

TEST(ParseOptions, HasTheProtocolsDescriptors) {
  const auto options = ParseOptions({"--spec", "/s.json"});
  EXPECT_EQ(options->events_fd, 3);
  EXPECT_EQ(options->commands_fd, 4);
}

TEST(ParseOptions, NamesWhatIsWrong) {
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } cases[] = {{{}, "--spec FILE is missing"},
               {{"--spec"}, "--spec needs a value"},
               {{"--spce", "x"}, "did you mean \"--spec\"?"},
               {{"--spec", "x", "--events-fd", "three"}, "--events-fd is"},
               {{"--spec", "x", "--events-fd", "-1"}, "--events-fd is"},
               {{"--version=1"}, "is not an option"},
               {{"--predict", "--input", "x"}, "--predict needs"}};
  for (const auto& one : cases) {
    EXPECT_THAT(std::string(ParseOptions(one.arguments).status().message()),
                HasSubstr(one.message));
  }
}

TEST(ParseOptions, KnowsTheOtherModes) {
  EXPECT_EQ(ParseOptions({"--version"})->mode, Mode::kVersion);
  EXPECT_EQ(ParseOptions({"-h"})->mode, Mode::kHelp);
  const auto predict = ParseOptions(
      {"--predict", "--model-dir=/m", "--input=/i", "--output=/o"});
  ASSERT_TRUE(predict.ok()) << predict.status();
  EXPECT_EQ(predict->predict.model_dir, "/m");
}

}  // namespace
}  // namespace trainyard::runner
