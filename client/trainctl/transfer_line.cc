#include "client/trainctl/transfer_line.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/units.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {

std::string ShownPath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  if (error) return path;
  const std::string near =
      std::filesystem::path(path).lexically_relative(here).string();
  return near.empty() || near.rfind("..", 0) == 0 ? path : near;
}

TransferLine::TransferLine(const Console& console, std::string what)
    : console_(console), what_(std::move(what)) {}

TransferLine::~TransferLine() { Erase(); }

client::TransferOptions TransferLine::Options() {
  client::TransferOptions options;
  if (console_.err_is_terminal) {
    options.progress = [this](uint64_t done, uint64_t total) {
      Show(done, total);
    };
  }
  return options;
}

void TransferLine::Finish(const std::string& summary) {
  Erase();
  *console_.err << Printable(summary) << "\n" << std::flush;
}

void TransferLine::FinishUpload(const char* did, const std::string& path,
                                const client::StoredPath& stored) {
  Finish(absl::StrCat(stored.sent ? did : "the server already has", " ",
                      ShownPath(path), ": ", stored.files,
                      stored.files == 1 ? " file, " : " files, ",
                      FormatBytes(stored.size_bytes)));
}

void TransferLine::Show(uint64_t done, uint64_t total) {
  const absl::Time now = console_.clock->Now();
  if (now < next_) return;
  next_ = now + absl::Milliseconds(100);
  const double share =
      total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const std::string line = absl::StrCat(
      Printable(what_), "  ", FormatBytes(done), " of ", FormatBytes(total),
      absl::StrFormat("  %.0f %%", share * 100));
  *console_.err << "\r"
                << Shorten(line, static_cast<size_t>(console_.width() - 1))
                << "\x1b[K" << std::flush;
  up_ = true;
}

void TransferLine::Erase() {
  if (up_) *console_.err << "\r\x1b[K" << std::flush;
  up_ = false;
}

}  // namespace trainyard::trainctl
