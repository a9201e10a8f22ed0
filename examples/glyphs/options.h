// The command line of glyphs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace trainyard::glyphs {

struct Options {
  std::string out;
  uint32_t train = 60000;
  uint32_t test = 10000;
  uint64_t seed = 1;
  unsigned threads = 0;  // 0: one per core
  bool gzip = false;
  bool help = false;
};

inline constexpr char kUsage[] =
    R"(glyphs: handwritten-like digits in MNIST's file format, made on the spot.

  glyphs --out DIR [--train 60000] [--test 10000] [--seed 1] [--threads N] [--gzip]

  --out DIR     folder for the four files; made if missing
  --train N     training samples, 1 to 1000000
  --test N      test samples, 1 to 1000000
  --seed N      same seed: same bytes, on every machine
  --threads N   1 to 256; default: one per core
  --gzip        write .gz files
)";

// arguments: without the program's name; "--name value" and "--name=value".
// INVALID_ARGUMENT names the flag, its value and what would be right.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

}  // namespace trainyard::glyphs
