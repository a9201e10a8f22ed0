// Small files for tests: folders that clean up, IDX, CIFAR, gzip, JPEG and PNG
// bytes.
//
//   TempFolder folder;
//   folder.Write("a/cat.png", EncodePng({...}));
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::data {

// A new folder, removed with all in it at the end.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file below the folder, making folders on the way; returns its
  // path.
  std::string Write(const std::string& name, absl::string_view content) const;
  // Makes a symbolic link `name` to `target`.
  void Link(const std::string& name, const std::string& target) const;
  void MakeFolder(const std::string& name) const;

 private:
  std::string path_;
};

std::string Gzip(const std::string& plain);

// An IDX file: magic, extents, then bytes.
std::string IdxBytes(uint32_t magic, const std::vector<uint32_t>& extents,
                     const std::string& bytes);
// `count` images of height x width whose pixels count up from 0, and their
// labels 0, 1, ..., num_classes - 1, 0, ...
std::string IdxImages(uint32_t count, uint32_t height, uint32_t width);
std::string IdxLabels(uint32_t count, int num_classes);

// Records of 3072 counting bytes behind the labels, label_bytes to a record.
std::string CifarRecords(const std::vector<uint8_t>& labels, int label_bytes);

// An image for the encoders: interleaved channels.
struct TestImage {
  int width = 0;
  int height = 0;
  int channels = 3;
  std::vector<uint8_t> pixels;
};
// Colour of the pixel at (x, y), channel c.
TestImage MakeImage(int width, int height, int channels,
                    const std::function<int(int x, int y, int c)>& value);

// 1 channel: grey, 3: RGB, 4: CMYK (as Adobe stores it, inverted).
std::string EncodeJpeg(const TestImage& image, int quality = 95,
                       bool progressive = false);
// 1 channel: grey, 2: grey and alpha, 3: RGB, 4: RGB and alpha. depth16: two
// big-endian bytes a sample, the second 0x5A.
std::string EncodePng(const TestImage& image, bool depth16 = false);
// One byte a pixel, an index into `palette` of RGB triples.
std::string EncodePalettePng(const TestImage& image,
                             const std::vector<uint8_t>& palette);

}  // namespace trainyard::data
