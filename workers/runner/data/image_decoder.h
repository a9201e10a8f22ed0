// A JPEG or PNG file's bytes to a square RGB sample.
//
//   ImageDecoder decoder;
//   RETURN_IF_ERROR(decoder.Decode(bytes, 224, pixels));  // pixels: 3 x 224 x
//   224
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace trainyard::data {

// Larger images are refused, before memory is taken for them.
inline constexpr uint64_t kMaxImagePixels = 100'000'000;

// Keeps its buffers from image to image. Not thread-safe: one per thread.
class ImageDecoder {
 public:
  ImageDecoder();
  ~ImageDecoder();
  ImageDecoder(const ImageDecoder&) = delete;
  ImageDecoder& operator=(const ImageDecoder&) = delete;

  // Tells JPEG from PNG by content. Grey, CMYK, palette and 16-bit images
  // become 8-bit RGB, alpha is dropped. Scales the shorter side to `side`,
  // crops the centre, writes 3 x side x side. DATA_LOSS: corrupt or truncated;
  // INVALID_ARGUMENT: neither format, or too large.
  absl::Status Decode(absl::Span<const uint8_t> bytes, int side,
                      uint8_t* pixels);

 private:
  struct Rgb {
    int width = 0;
    int height = 0;
  };
  absl::Status DecodeJpeg(absl::Span<const uint8_t> bytes, int side, Rgb* size);
  absl::Status DecodePng(absl::Span<const uint8_t> bytes, Rgb* size);
  void CmykToRgb(size_t pixels);
  void DropTurbo();

  void* turbo_ = nullptr;  // tjhandle, made at the first JPEG
  std::vector<uint8_t> image_;
  std::vector<uint8_t> scratch_;
};

}  // namespace trainyard::data
