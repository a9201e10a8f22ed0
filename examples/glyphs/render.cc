#include "examples/glyphs/render.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "examples/glyphs/hands.h"

namespace trainyard::glyphs {
namespace {

// How strongly a glyph is changed. Tuned so that a linear softmax model stays
// under 93 % (measured: 81 %) and a CNN of 93 k parameters passes 97 % in three
// epochs (measured: 98.5 to 99.2 %).
constexpr double kHandJitter = 0.045;  // of a control point, in box units
constexpr double kMaxHalfTan = 0.115;  // tan of half the rotation: ±13°
constexpr double kShear = 0.30;
constexpr double kMinHalfSize = 7.2;  // of the box, in pixels
constexpr double kMaxHalfSize = 10.2;
constexpr double kShift = 2.4;     // in pixels
constexpr double kElastic = 0.95;  // deviation of the field, in pixels
constexpr int kFieldSide = 5;      // nodes of the field per axis
constexpr double kMinPen = 0.75;   // half width, in pixels
constexpr double kMaxPen = 1.75;
constexpr int kStepsPerSpan = 6;  // straight pieces per piece of curve

using Canvas = std::array<double, kPixels>;

// Smooth random displacement: vectors on a coarse grid, interpolated between.
class ElasticField {
 public:
  explicit ElasticField(Random& random) {
    for (Point& node : nodes_) {
      node = {kElastic * random.Normal(), kElastic * random.Normal()};
    }
  }

  // p in pixels; outside the image the border's displacement holds.
  Point At(Point p) const {
    const double cell = static_cast<double>(kSide) / (kFieldSide - 1);
    const double limit = kFieldSide - 1.000001;
    const double u = std::clamp(p.x / cell, 0.0, limit);
    const double v = std::clamp(p.y / cell, 0.0, limit);
    const int column = static_cast<int>(u);
    const int row = static_cast<int>(v);
    const double fu = Smooth(u - column);
    const double fv = Smooth(v - row);
    const Point top = Between(Node(row, column), Node(row, column + 1), fu);
    const Point bottom =
        Between(Node(row + 1, column), Node(row + 1, column + 1), fu);
    return Between(top, bottom, fv);
  }

 private:
  static double Smooth(double t) { return t * t * (3 - 2 * t); }
  static Point Between(Point a, Point b, double t) {
    return {a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t};
  }
  Point Node(int row, int column) const {
    return nodes_[row * kFieldSide + column];
  }

  std::array<Point, kFieldSide * kFieldSide> nodes_;
};

// Box units → pixels: scale, shear, rotation, shift.
class AffineMap {
 public:
  explicit AffineMap(Random& random) {
    // (1-t², 2t)/(1+t²) is (cos, sin) of twice atan t: no library call.
    const double t = random.Uniform(-kMaxHalfTan, kMaxHalfTan);
    const double cosine = (1 - t * t) / (1 + t * t);
    const double sine = 2 * t / (1 + t * t);
    const double width = random.Uniform(kMinHalfSize, kMaxHalfSize);
    const double height = random.Uniform(kMinHalfSize, kMaxHalfSize);
    const double shear = random.Uniform(-kShear, kShear);
    xx_ = width * cosine;
    xy_ = -shear * width * cosine - height * sine;
    yx_ = width * sine;
    yy_ = -shear * width * sine + height * cosine;
    dx_ = kSide / 2.0 - 0.5 + random.Uniform(-kShift, kShift);
    dy_ = kSide / 2.0 - 0.5 + random.Uniform(-kShift, kShift);
  }

  Point operator()(Point p) const {
    return {xx_ * p.x + xy_ * p.y + dx_, yx_ * p.x + yy_ * p.y + dy_};
  }

 private:
  double xx_, xy_, yx_, yy_, dx_, dy_;
};

// Catmull-Rom between b and c.
double CurveAt(double a, double b, double c, double d, double t) {
  return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t +
                (3 * b - a - 3 * c + d) * t * t * t);
}

std::vector<Point> Flatten(const Stroke& stroke) {
  const int last = static_cast<int>(stroke.size()) - 1;
  std::vector<Point> line;
  line.reserve(static_cast<size_t>(last * kStepsPerSpan + 1));
  for (int i = 0; i < last; ++i) {
    const Point& a = stroke[std::max(i - 1, 0)];
    const Point& b = stroke[i];
    const Point& c = stroke[i + 1];
    const Point& d = stroke[std::min(i + 2, last)];
    for (int step = 0; step < kStepsPerSpan; ++step) {
      const double t = static_cast<double>(step) / kStepsPerSpan;
      line.push_back(
          {CurveAt(a.x, b.x, c.x, d.x, t), CurveAt(a.y, b.y, c.y, d.y, t)});
    }
  }
  line.push_back(stroke.back());
  return line;
}

double Distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x;
  const double dy = b.y - a.y;
  const double square = dx * dx + dy * dy;
  double t = 0;
  if (square > 0) {
    t = std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / square, 0.0, 1.0);
  }
  const double ex = p.x - (a.x + t * dx);
  const double ey = p.y - (a.y + t * dy);
  return std::sqrt(ex * ex + ey * ey);
}

// Inks the pixels near a straight piece; the edge is one pixel soft.
void DrawPiece(Point a, Point b, double pen, Canvas& canvas) {
  const double reach = pen + 0.5;
  const auto first = [reach](double u, double v) {
    return std::clamp(static_cast<int>(std::floor(std::min(u, v) - reach)), 0,
                      kSide);
  };
  const auto end = [reach](double u, double v) {
    return std::clamp(static_cast<int>(std::ceil(std::max(u, v) + reach)) + 1,
                      0, kSide);
  };
  for (int y = first(a.y, b.y); y < end(a.y, b.y); ++y) {
    for (int x = first(a.x, b.x); x < end(a.x, b.x); ++x) {
      const Point p{static_cast<double>(x), static_cast<double>(y)};
      const double ink = std::clamp(reach - Distance(p, a, b), 0.0, 1.0);
      double& pixel = canvas[y * kSide + x];
      pixel = std::max(pixel, ink);
    }
  }
}

void DrawHand(const Hand& hand, Random& random, Canvas& canvas) {
  const AffineMap map(random);
  const ElasticField field(random);
  const double pen = random.Uniform(kMinPen, kMaxPen);
  for (const Stroke& stroke : hand.strokes) {
    Stroke jittered = stroke;
    for (Point& point : jittered) {
      point.x += kHandJitter * random.Normal();
      point.y += kHandJitter * random.Normal();
    }
    std::vector<Point> line = Flatten(jittered);
    for (Point& point : line) {
      const Point mapped = map(point);
      const Point bent = field.At(mapped);
      point = {mapped.x + bent.x, mapped.y + bent.y};
    }
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      DrawPiece(line[i], line[i + 1], pen, canvas);
    }
  }
}

// A stray short line, as from a neighbouring field of a form.
void DrawSpeck(Random& random, Canvas& canvas) {
  const Point a{random.Uniform(0, kSide), random.Uniform(0, kSide)};
  const Point b{a.x + random.Uniform(-3, 3), a.y + random.Uniform(-3, 3)};
  DrawPiece(a, b, random.Uniform(0.4, 0.8), canvas);
}

}  // namespace

Image RenderGlyph(int digit, Random random) {
  Canvas canvas{};
  const absl::Span<const Hand> hands = HandsOf(digit);
  DrawHand(hands[random.Below(hands.size())], random, canvas);
  const uint64_t specks = random.Below(3);
  for (uint64_t i = 0; i < specks; ++i) DrawSpeck(random, canvas);

  const double contrast = random.Uniform(0.65, 1.0);
  const double grain = random.Uniform(0.02, 0.12);
  Image image;
  for (int i = 0; i < kPixels; ++i) {
    const double value = canvas[i] * contrast + grain * random.Normal();
    image[i] = static_cast<uint8_t>(std::clamp(value, 0.0, 1.0) * 255 + 0.5);
  }
  return image;
}

}  // namespace trainyard::glyphs
