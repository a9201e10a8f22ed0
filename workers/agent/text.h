// Text from outside: made valid UTF-8 and cut into lines of bounded length.
//
//   LineSplitter lines(8192, LineSplitter::Overlong::kSplit,
//                      [](std::string line) { … });
//   lines.Append(bytes);  lines.Finish();
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace trainyard::agent {

// Each byte that is not part of valid UTF-8 becomes U+FFFD.
std::string ToValidUtf8(absl::string_view text);

// The longest head of at most max_bytes that ends between characters.
// `text` must be valid UTF-8.
absl::string_view Utf8Head(absl::string_view text, size_t max_bytes);

// ToValidUtf8, at most max_bytes of it.
std::string BoundedUtf8(absl::string_view text, size_t max_bytes);

// Cuts a stream of bytes at newlines. Lines come out without "\n" or "\r\n".
class LineSplitter {
 public:
  enum class Overlong {
    kSplit,  // as several lines, made valid UTF-8
    kDrop,   // not at all; the bytes of other lines are passed unchanged
  };
  using Sink = std::function<void(std::string)>;

  LineSplitter(size_t max_line_bytes, Overlong overlong, Sink sink);
  void Append(absl::string_view bytes);
  // The stream is at its end: passes on what has no newline.
  void Finish();
  uint64_t dropped() const { return dropped_; }

 private:
  void Emit();
  void EmitText(absl::string_view text);

  const size_t max_line_bytes_;
  const Overlong overlong_;
  const Sink sink_;
  std::string line_;
  bool dropping_ = false;
  uint64_t dropped_ = 0;
};

// Remembers the last lines.
class LineTail {
 public:
  explicit LineTail(size_t max_bytes) : max_bytes_(max_bytes) {}
  void Add(absl::string_view line);
  std::string Text() const;

 private:
  const size_t max_bytes_;
  std::deque<std::string> lines_;
  size_t bytes_ = 0;
};

}  // namespace trainyard::agent
