#include "client/trainctl/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "client/trainctl/metric_history.h"
#include "client/trainctl/plot_canvas.h"
#include "client/trainctl/plot_scale.h"
#include "client/trainctl/text.h"
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

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string Text(const std::vector<std::string>& lines) {
  return absl::StrJoin(lines, "\n") + "\n";
}

size_t Widest(const std::vector<std::string>& lines) {
  size_t widest = 0;
  for (const auto& line : lines) widest = std::max(widest, DisplayWidth(line));
  return widest;
}

PlotCurve Curve(std::vector<std::vector<PlotPoint>> runs) {
  PlotCurve curve;
  curve.name = "loss";
  curve.mark_name = "validation";
  curve.runs = std::move(runs);
  return curve;
}

PlotAxis Axis(double first, double last) {
  PlotAxis axis;
  axis.first = first;
  axis.last = last;
  return axis;
}

PlotScreen Ascii(int width, int height) {
  PlotScreen screen;
  screen.width = width;
  screen.height = height;
  screen.ascii = true;
  return screen;
}

TEST(PlotScale, BeginsAndEndsAtRoundNumbers) {
  const Scale scale = NumberScale(0.03, 2.31, 4);
  EXPECT_EQ(scale.low, 0);
  EXPECT_EQ(scale.high, 3);
  EXPECT_THAT(scale.labels, ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(NumberScale(0.11, 0.32, 4).labels,
              ElementsAre("0.1", "0.2", "0.3", "0.4"));
}

TEST(PlotScale, ShowsNegativeFiguresWithoutANegativeZero) {
  EXPECT_THAT(NumberScale(-1, 1, 4).labels,
              ElementsAre("-1.0", "-0.5", "0.0", "0.5", "1.0"));
}

TEST(PlotScale, GivesAConstantSomeExtent) {
  for (const double value : {0.0, 5.0, -3e-5, 1e300, -1e300, 1e-310}) {
    const Scale scale = NumberScale(value, value, 4);
    EXPECT_LT(scale.low, value) << value;
    EXPECT_GT(scale.high, value) << value;
    EXPECT_GE(scale.ticks.size(), 2u) << value;
  }
}

TEST(PlotScale, HoldsHugeAndTinyRanges) {
  for (const double size : {1e300, 1e18, 1e-12, 1e-290}) {
    const Scale scale = NumberScale(-size, size, 4);
    EXPECT_TRUE(std::isfinite(scale.high - scale.low)) << size;
    EXPECT_GE(scale.ticks.size(), 2u) << size;
    EXPECT_LE(scale.ticks.size(), 8u) << size;
    std::vector<std::string> labels = scale.labels;
    std::sort(labels.begin(), labels.end());
    EXPECT_EQ(std::unique(labels.begin(), labels.end()), labels.end()) << size;
  }
  const Scale infinite =
      NumberScale(-std::numeric_limits<double>::infinity(),
                  std::numeric_limits<double>::infinity(), 4);
  EXPECT_TRUE(std::isfinite(infinite.high - infinite.low));
}

TEST(PlotScale, TellsCloseNeighboursOfALargeFigureApart) {
  EXPECT_THAT(NumberScale(1e6 + 0.1, 1e6 + 0.3, 2).labels,
              ElementsAre("1000000.1", "1000000.2", "1000000.3"));
}

TEST(PlotScale, WritesTimesAndSteps) {
  EXPECT_THAT(RangeScale(0, 95, 4, /*time=*/true).labels,
              ElementsAre("0s", "30s", "1m00s", "1m30s"));
  EXPECT_THAT(RangeScale(90, 2814, 4, /*time=*/false).labels,
              ElementsAre("1,000", "2,000"));
  EXPECT_THAT(RangeScale(7, 7, 4, /*time=*/false).labels,
              ElementsAre("7", "8"));
}

TEST(PlotCanvas, DrawsBrailleWithTheShadeBehindTheLine) {
  PlotCanvas canvas(3, 1, /*ascii=*/false);
  canvas.Line(0, 3, 1, 3);
  canvas.Shade(0, 0, 3);  // hidden: the line is in that character
  canvas.Shade(4, 0, 3);
  EXPECT_EQ(canvas.Row(0, false), "⣀ ⡇");
  EXPECT_EQ(canvas.Row(0, true), "⣀\x1b[2m ⡇\x1b[0m");
  canvas.Put(9, 9, "x", Colour::kNone);  // outside
  canvas.Line(-5, 0, 50, 0);
  EXPECT_EQ(DisplayWidth(canvas.Row(0, false)), 3u);
}

TEST(Plot, DrawsACurveBetweenItsAxes) {
  const auto lines = DrawCurve(Curve({{{0, 0}, {10, 1}, {20, 2}, {30, 3}}}),
                               Axis(0, 30), Ascii(36, 7));
  EXPECT_EQ(Text(lines),
            "loss  last 3  min 0  max 3\n"
            "5 +\n"
            "  |                           ******\n"
            "  |      *********************\n"
            "0 +******\n"
            "  ++--------------------+-----------\n"
            "   0                   20       step\n");
}

TEST(Plot, DrawsOnePoint) {
  const auto lines = DrawCurve(Curve({{{5, 0.25}}}), Axis(5, 5), Ascii(40, 8));
  EXPECT_EQ(std::count(lines[3].begin(), lines[3].end(), '*'), 1)
      << Text(lines);
  EXPECT_EQ(lines[0], "loss  last 0.25  min 0.25  max 0.25");
}

TEST(Plot, DrawsAConstantInTheMiddle) {
  const auto lines =
      DrawCurve(Curve({{{0, 7}, {100, 7}}}), Axis(0, 100), Ascii(40, 8));
  int with_stars = 0;
  for (size_t i = 1; i + 2 < lines.size(); ++i) {
    if (absl::StrContains(lines[i], "*****")) {
      ++with_stars;
      EXPECT_EQ(i, 3u) << Text(lines);
    }
  }
  EXPECT_EQ(with_stars, 1) << Text(lines);
}

TEST(Plot, LeavesGapsBetweenRuns) {
  const auto lines = DrawCurve(Curve({{{0, 1}, {20, 1}}, {{80, 1}, {100, 1}}}),
                               Axis(0, 100), Ascii(64, 8));
  EXPECT_THAT(lines[3], HasSubstr("*             ")) << Text(lines);
  EXPECT_EQ(lines[3].back(), '*');
}

TEST(Plot, ShowsMeansAsTheLineAndExtremesBehindIt) {
  std::vector<PlotPoint> run;
  for (int i = 0; i < 10000; ++i) run.emplace_back(i, i % 100 == 0 ? 9 : 1);
  const auto lines = DrawCurve(Curve({run}), Axis(0, 9999), Ascii(60, 13));
  const std::string text = Text(lines);
  // The peaks are visible although each column's mean is near 1.
  EXPECT_THAT(lines[2], HasSubstr(":::::")) << text;
  EXPECT_THAT(lines[2], Not(HasSubstr("*"))) << text;
  EXPECT_THAT(text, HasSubstr("****************")) << text;
  EXPECT_THAT(lines[0], HasSubstr("max 9"));
}

TEST(Plot, SetsValidationsAndAttemptsApart) {
  PlotCurve curve = Curve({{{0, 4}, {50, 3}}, {{40, 3}, {100, 1}}});
  curve.marks = {{50, 2}, {100, 0}};
  PlotAxis axis = Axis(0, 100);
  axis.begins = {{0, 1}, {40, 2}};
  const auto lines = DrawCurve(curve, axis, Ascii(60, 12));
  const std::string text = Text(lines);
  EXPECT_THAT(lines[0], HasSubstr("o validation 0"));
  EXPECT_EQ(std::count(text.begin(), text.end(), 'o') -
                std::count(lines[0].begin(), lines[0].end(), 'o'),
            2)
      << text;
  EXPECT_THAT(text, HasSubstr("!2")) << text;
  EXPECT_THAT(text, HasSubstr("step, ! attempt")) << text;
}

TEST(Plot, KeepsToTheWidthAndToAscii) {
  PlotCurve curve = Curve({{{0, -1e300}, {10, 1e300}}, {{20, 1e-300}}});
  curve.marks = {{15, 5}};
  PlotAxis axis = Axis(0, 1e18);
  axis.begins = {{0, 1}, {20, 4000000000u}};
  for (const bool ascii : {true, false}) {
    for (int width = 1; width < 100; ++width) {
      PlotScreen screen = Ascii(width, 9);
      screen.ascii = ascii;
      const auto lines = DrawCurve(curve, axis, screen);
      ASSERT_LE(Widest(lines), static_cast<size_t>(width)) << Text(lines);
      if (!ascii) continue;
      for (const char c : Text(lines)) {
        ASSERT_TRUE(absl::ascii_isprint(static_cast<unsigned char>(c)) ||
                    c == '\n');
      }
    }
  }
}

TEST(Plot, SaysWhereThereIsNothing) {
  EXPECT_THAT(DrawCurve(Curve({}), Axis(0, 1), Ascii(80, 14)),
              ElementsAre("loss: no figures"));
}

TEST(Plot, MergesWithoutOverflow) {
  PlotPoint point(0, 1e300);
  point.Merge(PlotPoint(1, -1e300));
  EXPECT_EQ(point.mean, 0);
  EXPECT_EQ(point.least, -1e300);
  EXPECT_EQ(point.most, 1e300);
  EXPECT_EQ(point.count, 2);
}

class MetricHistoryTest : public ::testing::Test {
 protected:
  static Metrics Find(const char* names) {
    const absl::StatusOr<Metrics> metrics = FindMetrics(names);
    EXPECT_TRUE(metrics.ok()) << metrics.status();
    return metrics.value_or(Metrics());
  }

  static void Add(MetricHistory& history, uint32_t attempt, const char* text) {
    v1::AttemptMetricPoint one;
    one.set_attempt(attempt);
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        text, one.mutable_point()));
    history.Add(one);
  }
};

TEST_F(MetricHistoryTest, FindsMetricsByTheFieldsNames) {
  EXPECT_THAT(Find("loss, rss_bytes,loss"), SizeIs(2));
  const auto wrong = FindMetrics("loss,los");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(wrong.status().message()),
      HasSubstr("did you mean loss? It must be of loss, learning_rate"));
  EXPECT_THAT(std::string(wrong.status().message()), Not(HasSubstr("time,")));
  EXPECT_FALSE(FindMetrics("").ok());
  EXPECT_FALSE(FindMetrics("devices").ok());
  EXPECT_FALSE(FindMetrics("step").ok());
}

TEST_F(MetricHistoryTest, BreaksWhereAFigureIsUnset) {
  MetricHistory history(Find("loss,utilization"), false);
  Add(history, 1, "step: 1 loss: 3 utilization: 0.5");
  Add(history, 1, "step: 2 loss: 2");
  Add(history, 1, "step: 3 utilization: 0.25");
  Add(history, 1, "step: 4 loss: nan");
  Add(history, 1, "step: 5 loss: 1");
  const PlotCurve loss = history.Curve(0);
  ASSERT_THAT(loss.runs, SizeIs(2));
  EXPECT_THAT(loss.runs[0], SizeIs(2));
  EXPECT_EQ(loss.runs[1][0].x, 5);
  const PlotCurve utilization = history.Curve(1);
  EXPECT_EQ(utilization.unit, "%");
  ASSERT_THAT(utilization.runs, SizeIs(2));
  EXPECT_EQ(utilization.runs[1][0].mean, 25);
}

TEST_F(MetricHistoryTest, KeepsValidationsApartAndTheirPointsNoGap) {
  MetricHistory history(Find("loss,validation_accuracy"), false);
  Add(history, 1, "step: 1 loss: 3");
  Add(history, 1, "step: 2 validation_loss: 2 validation_accuracy: 0.5");
  Add(history, 1, "step: 3 loss: 1");
  Add(history, 1, "step: 4 validation_loss: 1 validation_accuracy: 0.75");
  const PlotCurve loss = history.Curve(0);
  EXPECT_THAT(loss.runs, SizeIs(1));
  ASSERT_THAT(loss.marks, SizeIs(2));
  EXPECT_EQ(loss.marks[1].mean, 1);
  ASSERT_THAT(history.Curve(1).runs, SizeIs(1));
  EXPECT_EQ(history.Curve(1).runs[0][1].mean, 75);
  EXPECT_THAT(history.Axis().begins, IsEmpty());
}

TEST_F(MetricHistoryTest, AnAttemptBeginsARunOfItsOwn) {
  MetricHistory history(Find("loss"), false);
  Add(history, 1, "step: 10 loss: 3");
  Add(history, 1, "step: 20 loss: 2");
  Add(history, 2, "step: 15 loss: 2.5");
  Add(history, 2, "step: 25 loss: 1");
  EXPECT_THAT(history.Curve(0).runs, SizeIs(2));
  const PlotAxis axis = history.Axis();
  EXPECT_EQ(axis.first, 10);
  EXPECT_EQ(axis.last, 25);
  ASSERT_THAT(axis.begins, SizeIs(2));
  EXPECT_EQ(axis.begins[1].x, 15);
  EXPECT_EQ(axis.begins[1].attempt, 2u);
}

TEST_F(MetricHistoryTest, CountsTimeFromTheFirstPoint) {
  MetricHistory history(Find("rss_bytes"), true);
  Add(history, 1, "step: 1 time { seconds: 1000 } rss_bytes: 1048576");
  Add(history, 1, "step: 2 time { seconds: 1030 } rss_bytes: 3145728");
  const PlotCurve curve = history.Curve(0);
  EXPECT_EQ(curve.unit, "MiB");
  EXPECT_EQ(curve.runs[0][1].mean, 3);
  EXPECT_EQ(history.Axis().last, 30);
  EXPECT_TRUE(history.Axis().time);
}

TEST_F(MetricHistoryTest, MergesNeighboursWhereThereAreTooMany) {
  MetricHistory history(Find("loss"), false, /*max_points=*/100);
  v1::AttemptMetricPoint one;
  one.set_attempt(1);
  for (int i = 0; i < 10000; ++i) {
    one.mutable_point()->set_step(static_cast<uint64_t>(i));
    one.mutable_point()->set_loss(i == 5000 ? 77 : 1);
    history.Add(one);
  }
  const PlotCurve curve = history.Curve(0);
  ASSERT_THAT(curve.runs, SizeIs(1));
  EXPECT_LE(curve.runs[0].size(), 100u);
  double most = 0, count = 0;
  for (const PlotPoint& point : curve.runs[0]) {
    most = std::max(most, point.most);
    count += point.count;
  }
  EXPECT_EQ(most, 77);
  EXPECT_EQ(count, 10000);
}

TEST_F(MetricHistoryTest, StaysBoundedWhereEverySecondFigureIsMissing) {
  MetricHistory history(Find("loss"), false, /*max_points=*/100);
  for (int i = 0; i < 5000; ++i) {
    v1::AttemptMetricPoint one;
    one.set_attempt(1);
    one.mutable_point()->set_step(static_cast<uint64_t>(i));
    one.mutable_point()->set_loss(i % 2 == 0 ? i : kNan);
    history.Add(one);
  }
  EXPECT_LE(history.Curve(0).runs.size(), 101u);
  EXPECT_EQ(history.Curve(0).runs.back().back().mean, 4998);
}

}  // namespace
}  // namespace trainyard::trainctl
