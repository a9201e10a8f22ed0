#include "workers/agent/text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trainyard::agent {
namespace {

// Length of the valid UTF-8 character at the head of `text`; 0: none there.
size_t CharLength(absl::string_view text) {
  const auto byte = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool too_big = first == 0xF4 && byte(1) >= 0x90;
    return tail(1) && tail(2) && tail(3) && !overlong && !too_big ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string ToValidUtf8(absl::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = CharLength(text);
    if (length == 0) {
      valid += "\xEF\xBF\xBD";
    } else {
      valid.append(text.data(), length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

absl::string_view Utf8Head(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return text.substr(0, end);
}

std::string BoundedUtf8(absl::string_view text, size_t max_bytes) {
  return std::string(Utf8Head(ToValidUtf8(text), max_bytes));
}

LineSplitter::LineSplitter(size_t max_line_bytes, Overlong overlong, Sink sink)
    : max_line_bytes_(max_line_bytes),
      overlong_(overlong),
      sink_(std::move(sink)) {}

void LineSplitter::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const bool ends = newline != absl::string_view::npos;
    absl::string_view part = bytes.substr(0, ends ? newline : bytes.size());
    bytes.remove_prefix(part.size() + (ends ? 1 : 0));
    if (!dropping_) line_.append(part.data(), part.size());
    if (line_.size() > max_line_bytes_) {
      if (overlong_ == Overlong::kDrop) {
        dropping_ = true;
        line_.clear();
      } else {
        // What cannot be cut yet is the line's last, maybe unfinished, piece.
        while (line_.size() > max_line_bytes_) {
          const std::string head(Utf8Head(line_, max_line_bytes_));
          const size_t taken = head.empty() ? max_line_bytes_ : head.size();
          EmitText(absl::string_view(line_).substr(0, taken));
          line_.erase(0, taken);
        }
      }
    }
    if (ends) Emit();
  }
}

void LineSplitter::Finish() {
  if (dropping_ || !line_.empty()) Emit();
}

void LineSplitter::Emit() {
  std::string line = std::exchange(line_, {});
  if (std::exchange(dropping_, false)) {
    ++dropped_;
    return;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (overlong_ == Overlong::kDrop) {
    sink_(std::move(line));
  } else {
    EmitText(line);
  }
}

void LineSplitter::EmitText(absl::string_view text) {
  const std::string valid = ToValidUtf8(text);
  absl::string_view rest = valid;  // replacement may have made it longer
  do {
    const absl::string_view head = Utf8Head(rest, max_line_bytes_);
    sink_(std::string(head));
    rest.remove_prefix(head.size());
  } while (!rest.empty());
}

void LineTail::Add(absl::string_view line) {
  if (line.size() + 1 > max_bytes_) line = Utf8Head(line, max_bytes_ - 1);
  bytes_ += line.size() + 1;
  lines_.emplace_back(line);
  while (bytes_ > max_bytes_) {
    bytes_ -= lines_.front().size() + 1;
    lines_.pop_front();
  }
}

std::string LineTail::Text() const { return absl::StrJoin(lines_, "\n"); }

}  // namespace trainyard::agent
