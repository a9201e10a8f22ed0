#include "workers/runner/data/test_files.h"

#include <spng.h>
#include <stdlib.h>
#include <turbojpeg.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "absl/strings/str_cat.h"

namespace trainyard::data {
namespace {

void Check(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what);
}

std::string BigEndian32(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

std::string Encode(const spng_ihdr& header, const std::string& pixels,
                   const spng_plte* palette) {
  spng_ctx* context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr copy = header;
  Check(spng_set_ihdr(context, &copy) == 0, "spng_set_ihdr");
  if (palette != nullptr) {
    spng_plte entries = *palette;
    Check(spng_set_plte(context, &entries) == 0, "spng_set_plte");
  }
  // RAW: 16-bit samples are big-endian already.
  int code = spng_encode_image(context, pixels.data(), pixels.size(),
                               SPNG_FMT_RAW, SPNG_ENCODE_FINALIZE);
  Check(code == 0, absl::StrCat("spng_encode_image: ", spng_strerror(code)));
  size_t size = 0;
  void* bytes = spng_get_png_buffer(context, &size, &code);
  const std::string png(static_cast<const char*>(bytes), size);
  free(bytes);
  spng_ctx_free(context);
  return png;
}

spng_ihdr HeaderOf(const TestImage& image, int depth, int color_type) {
  spng_ihdr header = {};
  header.width = static_cast<uint32_t>(image.width);
  header.height = static_cast<uint32_t>(image.height);
  header.bit_depth = static_cast<uint8_t>(depth);
  header.color_type = static_cast<uint8_t>(color_type);
  return header;
}

}  // namespace

TempFolder::TempFolder() {
  std::string name =
      (std::filesystem::temp_directory_path() / "runner_data_XXXXXX").string();
  Check(mkdtemp(name.data()) != nullptr, "mkdtemp");
  path_ = std::filesystem::canonical(name).string();
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::Write(const std::string& name,
                              absl::string_view content) const {
  const std::string path = absl::StrCat(path_, "/", name);
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  Check(file.good(), "write " + path);
  return path;
}

void TempFolder::Link(const std::string& name,
                      const std::string& target) const {
  const std::string path = absl::StrCat(path_, "/", name);
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::filesystem::create_symlink(target, path);
}

void TempFolder::MakeFolder(const std::string& name) const {
  std::filesystem::create_directories(absl::StrCat(path_, "/", name));
}

std::string Gzip(const std::string& plain) {
  z_stream stream = {};
  Check(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) ==
            Z_OK,
        "deflate");
  std::string packed(deflateBound(&stream, plain.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  Check(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string IdxBytes(uint32_t magic, const std::vector<uint32_t>& extents,
                     const std::string& bytes) {
  std::string file = BigEndian32(magic);
  for (uint32_t extent : extents) file += BigEndian32(extent);
  return file + bytes;
}

std::string IdxImages(uint32_t count, uint32_t height, uint32_t width) {
  std::string bytes;
  for (uint32_t i = 0; i < count * height * width; ++i)
    bytes += static_cast<char>(i);
  return IdxBytes(0x803, {count, height, width}, bytes);
}

std::string IdxLabels(uint32_t count, int num_classes) {
  std::string bytes;
  for (uint32_t i = 0; i < count; ++i)
    bytes += static_cast<char>(i % num_classes);
  return IdxBytes(0x801, {count}, bytes);
}

std::string CifarRecords(const std::vector<uint8_t>& labels, int label_bytes) {
  std::string bytes;
  for (size_t r = 0; r < labels.size(); ++r) {
    for (int i = 1; i < label_bytes; ++i) bytes += '\0';
    bytes += static_cast<char>(labels[r]);
    for (size_t i = 0; i < 3072; ++i) bytes += static_cast<char>(r + i / 1024);
  }
  return bytes;
}

TestImage MakeImage(int width, int height, int channels,
                    const std::function<int(int x, int y, int c)>& value) {
  TestImage image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<uint8_t>(value(x, y, c)));
      }
    }
  }
  return image;
}

std::string EncodeJpeg(const TestImage& image, int quality, bool progressive) {
  tjhandle turbo = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int format = image.channels == 1   ? TJPF_GRAY
                     : image.channels == 3 ? TJPF_RGB
                                           : TJPF_CMYK;
  const int subsampling = image.channels == 1 ? TJSAMP_GRAY : TJSAMP_444;
  const int result = tjCompress2(
      turbo, image.pixels.data(), image.width, 0, image.height, format, &bytes,
      &size, subsampling, quality, progressive ? TJFLAG_PROGRESSIVE : 0);
  Check(result == 0, tjGetErrorStr2(turbo));
  const std::string jpeg(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(turbo);
  return jpeg;
}

std::string EncodePng(const TestImage& image, bool depth16) {
  constexpr int kColorTypes[] = {
      0, SPNG_COLOR_TYPE_GRAYSCALE, SPNG_COLOR_TYPE_GRAYSCALE_ALPHA,
      SPNG_COLOR_TYPE_TRUECOLOR, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA};
  std::string pixels;
  for (uint8_t value : image.pixels) {
    pixels += static_cast<char>(value);
    if (depth16) pixels += static_cast<char>(0x5A);
  }
  return Encode(HeaderOf(image, depth16 ? 16 : 8, kColorTypes[image.channels]),
                pixels, nullptr);
}

std::string EncodePalettePng(const TestImage& image,
                             const std::vector<uint8_t>& palette) {
  spng_plte entries = {};
  entries.n_entries = static_cast<uint32_t>(palette.size() / 3);
  for (uint32_t i = 0; i < entries.n_entries; ++i) {
    entries.entries[i].red = palette[3 * i];
    entries.entries[i].green = palette[3 * i + 1];
    entries.entries[i].blue = palette[3 * i + 2];
  }
  const std::string pixels(image.pixels.begin(), image.pixels.end());
  return Encode(HeaderOf(image, 8, SPNG_COLOR_TYPE_INDEXED), pixels, &entries);
}

}  // namespace trainyard::data
