// Draws one glyph: a hand's strokes, bent by an elastic field and an affine
// map, inked with a pen of random width, with noise and specks.
//
//   Image image = RenderGlyph(/*digit=*/7, Random(Random::Mix(seed, index)));
//
// Pure: the same digit and random state give the same bytes on every platform.
// Only + - * / and sqrt are used, which IEEE 754 rounds the same everywhere.
#pragma once

#include <array>
#include <cstdint>

#include "examples/glyphs/random.h"

namespace trainyard::glyphs {

inline constexpr int kSide = 28;
inline constexpr int kPixels = kSide * kSide;

// Row by row from the top, 0 is paper, 255 is ink.
using Image = std::array<uint8_t, kPixels>;

Image RenderGlyph(int digit, Random random);

}  // namespace trainyard::glyphs
