#include "server/rpc/validate_field.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/unknown_field_set.h"
#include "server/rpc/names.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxUser = 128;

constexpr size_t kMaxLabels = 64;
constexpr size_t kMaxLabelCharacters = 63;

// Of UTF-8: not in the middle of one.
bool StartsCharacter(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

bool IsLabelText(absl::string_view text) {
  // A character has at least one byte: short texts need no count.
  return (text.size() <= kMaxLabelCharacters ||
          CountCharacters(text) <= kMaxLabelCharacters) &&
         !HasControlCharacters(text);
}

}  // namespace

absl::Status BadField(absl::string_view path, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", problem));
}

absl::Status WrongValue(absl::string_view path, absl::string_view value,
                        absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", value, ": must be ", want));
}

absl::Status NotSet(absl::string_view path, absl::string_view want) {
  return WrongValue(path, "not set", want);
}

absl::Status Below(absl::string_view path, const absl::Status& status) {
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  const bool itself =
      absl::StartsWith(message, ":") || absl::StartsWith(message, "[");
  return absl::Status(status.code(),
                      absl::StrCat(path, itself ? "" : ".", message));
}

std::string WithCommas(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

size_t CountCharacters(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), StartsCharacter));
}

std::string Head(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit;
  while (end > 0 && !StartsCharacter(text[end])) --end;
  return text.substr(0, end);
}

std::string Tail(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t begin = text.size() - limit;
  while (begin < text.size() && !StartsCharacter(text[begin])) ++begin;
  return text.substr(begin);
}

bool IsPrintableAscii(absl::string_view text, bool spaces) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return absl::ascii_isgraph(c) || (spaces && c == ' ');
  });
}

bool HasControlCharacters(absl::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

absl::Status CheckWhole(absl::string_view path, uint64_t value, uint64_t least,
                        uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return WrongValue(path, absl::StrCat(value),
                    absl::StrCat(WithCommas(least), " to ", WithCommas(most)));
}

absl::Status CheckReal(absl::string_view path, double value, double least,
                       double most) {
  if (value >= least && value <= most) return absl::OkStatus();  // NaN: not so
  return WrongValue(path, absl::StrCat(value),
                    absl::StrCat(least, " to ", most));
}

absl::Status CheckCount(absl::string_view path, size_t count, size_t most) {
  if (count <= most) return absl::OkStatus();
  return WrongValue(path, absl::StrCat(WithCommas(count), " entries"),
                    absl::StrCat("at most ", WithCommas(most)));
}

absl::Status CheckLabels(
    absl::string_view path,
    const google::protobuf::Map<std::string, std::string>& labels) {
  if (absl::Status status = CheckCount(path, labels.size(), kMaxLabels);
      !status.ok()) {
    return status;
  }
  for (const auto& [key, value] : labels) {
    if (key.empty() || !IsLabelText(key)) {
      return WrongValue(absl::StrCat(path, ": key"), Quoted(key),
                        "1 to 63 characters, none of them a control character");
    }
    if (!IsLabelText(value)) {
      return WrongValue(absl::StrCat(path, "[", Quoted(key), "]"),
                        Quoted(value),
                        "at most 63 characters, none of them a control "
                        "character");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUser(absl::string_view path, const std::string& user) {
  if (HasControlCharacters(user)) {
    return BadField(path, "must be without control characters");
  }
  const size_t length = CountCharacters(user);
  if (length <= kMaxUser) return absl::OkStatus();
  return BadField(path, absl::StrCat("has ", length,
                                     " characters: must be at most ", kMaxUser));
}

absl::Status CheckKnown(absl::string_view path,
                        const google::protobuf::Message& message) {
  const google::protobuf::UnknownFieldSet& unknown =
      message.GetReflection()->GetUnknownFields(message);
  if (unknown.empty()) return absl::OkStatus();
  return BadField(
      path, absl::StrCat("has the field number ", unknown.field(0).number(),
                         ", which this server does not know: it "
                         "may be older than the client"));
}

}  // namespace trainyard::rpc
