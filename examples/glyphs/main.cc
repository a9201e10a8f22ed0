#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "examples/glyphs/dataset.h"
#include "examples/glyphs/idx_writer.h"
#include "examples/glyphs/options.h"
#include "examples/glyphs/render.h"

namespace trainyard::glyphs {
namespace {

absl::Status WritePart(const Options& options, const char* prefix,
                       const DatasetRequest& request) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const Dataset set =
      MakeDataset(request, options.threads != 0 ? options.threads : cores);
  const std::string stem =
      (std::filesystem::path(options.out) / prefix).string();
  RETURN_IF_ERROR(WriteIdx(stem + "-images-idx3-ubyte",
                           {request.count, kSide, kSide}, set.images,
                           options.gzip));
  RETURN_IF_ERROR(WriteIdx(stem + "-labels-idx1-ubyte", {request.count},
                           set.labels, options.gzip));
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) {
    return absl::ErrnoToStatus(
        error.value(), absl::StrCat("cannot make folder ", options.out));
  }
  RETURN_IF_ERROR(
      WritePart(options, "train", {options.train, options.seed, 0}));
  RETURN_IF_ERROR(WritePart(options, "t10k", {options.test, options.seed, 1}));
  std::printf("%u training and %u test glyphs in %s\n", options.train,
              options.test, options.out.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace trainyard::glyphs

int main(int argc, char** argv) {
  namespace glyphs = trainyard::glyphs;
  const absl::StatusOr<glyphs::Options> options =
      glyphs::ParseOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (options.ok() && options->help) {
    std::fputs(glyphs::kUsage, stdout);
    return 0;
  }
  const absl::Status status =
      options.ok() ? glyphs::Run(*options) : options.status();
  if (!status.ok()) {
    std::fprintf(stderr, "glyphs: %s\n", std::string(status.message()).c_str());
    return options.ok() ? 1 : 2;
  }
  return 0;
}
