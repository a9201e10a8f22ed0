#include "workers/runner/data/image_decoder.h"

#include <spng.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/data/resize.h"

namespace trainyard::data {
namespace {

constexpr uint8_t kJpegMagic[] = {0xFF, 0xD8, 0xFF};
constexpr uint8_t kPngMagic[] = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};
// Text and colour profiles of a PNG, which nobody here reads.
constexpr size_t kMaxPngChunkBytes = 16 << 20;

template <size_t N>
bool StartsWithBytes(absl::Span<const uint8_t> bytes,
                     const uint8_t (&magic)[N]) {
  return bytes.size() >= N && std::memcmp(bytes.data(), magic, N) == 0;
}

absl::Status CheckPixels(const char* kind, uint64_t width, uint64_t height) {
  if (width > 0 && height > 0 && width <= kMaxImagePixels / height)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kind, " of ", width, " x ", height, " pixels; at most ",
                   kMaxImagePixels, " pixels are allowed"));
}

// True for faults that leave every pixel as it was meant.
bool IsHarmless(const std::string& warning) {
  return absl::StrContains(warning, "extraneous bytes before marker") ||
         absl::StrContains(warning, "JFIF revision number") ||
         absl::StrContains(warning, "Adobe color transform code");
}

// The smallest of libjpeg's scales that leaves the shorter side at least `side`
// long.
tjscalingfactor ChooseScale(int width, int height, int side) {
  int count = 0;
  const tjscalingfactor* factors = tjGetScalingFactors(&count);
  tjscalingfactor best{1, 1};
  for (int i = 0; i < count; ++i) {
    const tjscalingfactor factor = factors[i];
    const int shorter = TJSCALED(std::min(width, height), factor);
    if (shorter >= side && factor.num * best.denom < best.num * factor.denom)
      best = factor;
  }
  return best;
}

absl::Status Grow(std::vector<uint8_t>* buffer, uint64_t size) {
  if (buffer->size() >= size) return absl::OkStatus();
  try {
    buffer->resize(size);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for an image of ", size, " bytes"));
  }
  return absl::OkStatus();
}

struct SpngDeleter {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};

absl::Status SpngStatus(int code) {
  if (code == SPNG_EMEM)
    return absl::ResourceExhaustedError("no memory for the PNG");
  if (code == SPNG_EOVERFLOW) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PNG is too large; at most ", kMaxImagePixels, " pixels are allowed"));
  }
  if (code == SPNG_IO_EOF || code == SPNG_EOF || code == SPNG_EIDAT_TOO_SHORT) {
    return absl::DataLossError("corrupt PNG: it is truncated");
  }
  return absl::DataLossError(
      absl::StrCat("corrupt PNG: ", spng_strerror(code)));
}

}  // namespace

ImageDecoder::ImageDecoder() = default;

ImageDecoder::~ImageDecoder() { DropTurbo(); }

void ImageDecoder::DropTurbo() {
  if (turbo_ != nullptr) tjDestroy(turbo_);
  turbo_ = nullptr;
}

absl::Status ImageDecoder::Decode(absl::Span<const uint8_t> bytes, int side,
                                  uint8_t* pixels) {
  Rgb size;
  if (StartsWithBytes(bytes, kJpegMagic)) {
    absl::Status status = DecodeJpeg(bytes, side, &size);
    if (!status.ok()) {
      DropTurbo();  // it may go on in the middle of the bad file
      return status;
    }
  } else if (StartsWithBytes(bytes, kPngMagic)) {
    RETURN_IF_ERROR(DecodePng(bytes, &size));
  } else {
    return absl::InvalidArgumentError("neither a JPEG nor a PNG image");
  }
  ResizeCentreCrop({image_.data(), size.width, size.height}, side, pixels);
  return absl::OkStatus();
}

absl::Status ImageDecoder::DecodeJpeg(absl::Span<const uint8_t> bytes, int side,
                                      Rgb* size) {
  if (turbo_ == nullptr) turbo_ = tjInitDecompress();
  if (turbo_ == nullptr)
    return absl::ResourceExhaustedError("no memory for a JPEG decoder");
  int width = 0;
  int height = 0;
  int subsampling = 0;
  int colorspace = 0;
  if (tjDecompressHeader3(turbo_, bytes.data(), bytes.size(), &width, &height,
                          &subsampling, &colorspace) != 0 &&
      tjGetErrorCode(turbo_) != TJERR_WARNING) {
    return absl::DataLossError(
        absl::StrCat("corrupt JPEG: ", tjGetErrorStr2(turbo_)));
  }
  if (width < 1 || height < 1)
    return absl::DataLossError("corrupt JPEG: it holds no image");
  RETURN_IF_ERROR(CheckPixels("JPEG", static_cast<uint64_t>(width),
                              static_cast<uint64_t>(height)));

  const tjscalingfactor scale = ChooseScale(width, height, side);
  size->width = TJSCALED(width, scale);
  size->height = TJSCALED(height, scale);
  const size_t pixels =
      static_cast<size_t>(size->width) * static_cast<size_t>(size->height);
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  RETURN_IF_ERROR(Grow(&image_, pixels * 3));
  if (cmyk) RETURN_IF_ERROR(Grow(&scratch_, pixels * 4));
  // LIMITSCANS: small progressive files can ask for hours of work.
  const int result = tjDecompress2(
      turbo_, bytes.data(), bytes.size(),
      cmyk ? scratch_.data() : image_.data(), size->width, 0, size->height,
      cmyk ? TJPF_CMYK : TJPF_RGB, TJFLAG_LIMITSCANS);
  if (result != 0) {
    const std::string message = tjGetErrorStr2(turbo_);
    if (tjGetErrorCode(turbo_) != TJERR_WARNING || !IsHarmless(message)) {
      return absl::DataLossError(absl::StrCat("corrupt JPEG: ", message));
    }
  }
  if (cmyk) CmykToRgb(pixels);
  return absl::OkStatus();
}

// CMYK files come from Adobe's programs, which store the inks inverted: 255 is
// no ink.
void ImageDecoder::CmykToRgb(size_t pixels) {
  const uint8_t* from = scratch_.data();
  uint8_t* to = image_.data();
  for (size_t i = 0; i < pixels; ++i, from += 4, to += 3) {
    for (int c = 0; c < 3; ++c)
      to[c] = static_cast<uint8_t>((from[c] * from[3] + 127) / 255);
  }
}

absl::Status ImageDecoder::DecodePng(absl::Span<const uint8_t> bytes,
                                     Rgb* size) {
  const std::unique_ptr<spng_ctx, SpngDeleter> context(spng_ctx_new(0));
  if (context == nullptr)
    return absl::ResourceExhaustedError("no memory for a PNG decoder");
  spng_set_chunk_limits(context.get(), kMaxPngChunkBytes, kMaxPngChunkBytes);
  spng_ihdr header = {};
  int code = spng_set_png_buffer(context.get(), bytes.data(), bytes.size());
  if (code == 0) code = spng_get_ihdr(context.get(), &header);
  if (code != 0) return SpngStatus(code);
  RETURN_IF_ERROR(CheckPixels("PNG", header.width, header.height));

  size_t needed = 0;
  code = spng_decoded_image_size(context.get(), SPNG_FMT_RGB8, &needed);
  if (code != 0) return SpngStatus(code);
  RETURN_IF_ERROR(Grow(&image_, needed));
  code =
      spng_decode_image(context.get(), image_.data(), needed, SPNG_FMT_RGB8, 0);
  if (code != 0) return SpngStatus(code);
  // Reads on to the end mark: a file without it was cut off.
  code = spng_decode_chunks(context.get());
  if (code == SPNG_IO_EOF || code == SPNG_EOF) return SpngStatus(code);
  size->width = static_cast<int>(header.width);
  size->height = static_cast<int>(header.height);
  return absl::OkStatus();
}

}  // namespace trainyard::data
