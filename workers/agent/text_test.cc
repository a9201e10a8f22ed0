#include "workers/agent/text.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::agent {
namespace {

using ::testing::ElementsAre;
constexpr char kBad[] = "\xEF\xBF\xBD";

TEST(TextTest, ReplacesWhatIsNotUtf8) {
  const struct {
    std::string in;
    std::string out;
  } kCases[] = {
      {"plain", "plain"},
      {"caf\xc3\xa9", "caf\xc3\xa9"},
      {"\xe2\x82\xac", "\xe2\x82\xac"},
      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
      {"\xff", kBad},
      {"\xc3", kBad},                                              // cut off
      {"\xc0\x80", absl::StrCat(kBad, kBad)},                      // overlong
      {"\xed\xa0\x80", absl::StrCat(kBad, kBad, kBad)},            // surrogate
      {"\xf4\x90\x80\x80", absl::StrCat(kBad, kBad, kBad, kBad)},  // too big
      {"a\x80z", absl::StrCat("a", kBad, "z")},
  };
  for (const auto& c : kCases) EXPECT_EQ(ToValidUtf8(c.in), c.out);
}

TEST(TextTest, CutsBetweenCharacters) {
  EXPECT_EQ(std::string(Utf8Head("caf\xc3\xa9", 4)), "caf");
  EXPECT_EQ(std::string(Utf8Head("caf\xc3\xa9", 5)), "caf\xc3\xa9");
  EXPECT_EQ(BoundedUtf8("\xff\xff", 4), kBad);
}

struct Collected {
  std::vector<std::string> lines;
  LineSplitter splitter;
  Collected(size_t max, LineSplitter::Overlong overlong)
      : splitter(max, overlong,
                 [this](std::string line) { lines.push_back(line); }) {}
};

TEST(LineSplitterTest, CutsAtNewlinesWhereverTheBytesArrive) {
  const std::string text = "one\ntwo\r\n\nfour";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    Collected c(100, LineSplitter::Overlong::kSplit);
    for (size_t i = 0; i < text.size(); i += piece) {
      c.splitter.Append(text.substr(i, piece));
    }
    c.splitter.Finish();
    EXPECT_THAT(c.lines, ElementsAre("one", "two", "", "four"));
  }
}

TEST(LineSplitterTest, SplitsLongLinesBetweenCharacters) {
  Collected c(4, LineSplitter::Overlong::kSplit);
  c.splitter.Append(
      "abc\xc3\xa9"
      "defg\n");
  EXPECT_THAT(c.lines, ElementsAre("abc",
                                   "\xc3\xa9"
                                   "de",
                                   "fg"));
}

TEST(LineSplitterTest, DropsLongLinesWhole) {
  Collected c(4, LineSplitter::Overlong::kDrop);
  c.splitter.Append("abc");
  c.splitter.Append("def");
  c.splitter.Append("ghi\nok\n");
  c.splitter.Append("toolong");
  c.splitter.Finish();
  EXPECT_THAT(c.lines, ElementsAre("ok"));
  EXPECT_EQ(c.splitter.dropped(), 2u);
}

TEST(LineTailTest, KeepsTheLastLines) {
  LineTail tail(10);
  for (const char* line : {"aaaa", "bbbb", "cccc"}) tail.Add(line);
  EXPECT_EQ(tail.Text(), "bbbb\ncccc");
  tail.Add(std::string(100, 'x'));
  EXPECT_EQ(tail.Text(), std::string(9, 'x'));
}

}  // namespace
}  // namespace trainyard::agent
