// Scales an image and cuts the centre out of it, in one pass over the pixels it
// needs.
//
//   ResizeCentreCrop({.pixels = rgb, .width = 640, .height = 480}, 224, out);
//
// Stateless; thread-safe.
#pragma once

#include <cstdint>

namespace trainyard::data {

// width * height pixels of three bytes, row by row.
struct RgbImage {
  const uint8_t* pixels = nullptr;
  int width = 0;
  int height = 0;
};

// Scales the shorter side to `side` and the longer in proportion (rounded
// down), with a triangle filter as wide as the scale asks for (bilinear with
// antialias), and writes the centre as planes: out[3][side][side]. Both extents
// of the image are at least 1.
void ResizeCentreCrop(const RgbImage& image, int side, uint8_t* out);

}  // namespace trainyard::data
