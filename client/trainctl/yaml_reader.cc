#include "client/trainctl/yaml_reader.h"

#include <cstdint>
#include <iostream>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "client/file.h"
#include "proto/json/utf8.h"
#include "yaml-cpp/yaml.h"

namespace trainyard::trainctl {
namespace {

constexpr int kDeepest = 32;
constexpr int kMostValues = 20000;
constexpr char kTextTag[] = "tag:yaml.org,2002:str";

absl::Status AtLine(const YAML::Mark& mark, absl::string_view problem) {
  if (mark.is_null()) return absl::InvalidArgumentError(problem);
  return absl::InvalidArgumentError(
      absl::StrCat("line ", mark.line + 1, ": ", problem));
}

bool IsOneOf(absl::string_view text,
             std::initializer_list<absl::string_view> all) {
  for (const absl::string_view one : all) {
    if (text == one) return true;
  }
  return false;
}

bool OnlyDigits(absl::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("0123456789") == absl::string_view::npos;
}

// 0x1f, 0o17; false where it is neither.
bool ParseRadix(absl::string_view text, uint64_t* value) {
  if (text.size() < 3 || text[0] != '0') return false;
  if (text[1] == 'x') return absl::SimpleHexAtoi(text, value);
  if (text[1] != 'o') return false;
  *value = 0;
  for (const char c : text.substr(2)) {
    if (c < '0' || c > '7' || *value >> 61 != 0) return false;
    *value = *value * 8 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

// A decimal number as the narrowest type that holds it; null: it is none.
Json ParseNumber(absl::string_view text) {
  const bool minus = text[0] == '-';
  const absl::string_view digits =
      minus || text[0] == '+' ? text.substr(1) : text;
  if (OnlyDigits(digits)) {
    uint64_t natural = 0;
    int64_t integer = 0;
    if (!minus && absl::SimpleAtoi(digits, &natural)) return natural;
    if (minus && absl::SimpleAtoi(text, &integer)) return integer;
  }
  // Only what YAML calls a float: SimpleAtod takes "nan" and hex floats too.
  const bool float_like =
      !digits.empty() &&
      digits.find_first_not_of("0123456789.eE+-") == absl::string_view::npos &&
      digits.find_first_of("0123456789") <= 1 && digits[0] != '+' &&
      digits[0] != '-' && digits[0] != 'e' && digits[0] != 'E';
  double number = 0;
  if (float_like && absl::SimpleAtod(text, &number)) return number;
  return nullptr;
}

// A scalar without quotes and tag.
Json PlainScalar(const std::string& text) {
  if (IsOneOf(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (IsOneOf(text, {"true", "True", "TRUE"})) return true;
  if (IsOneOf(text, {"false", "False", "FALSE"})) return false;
  if (IsOneOf(text, {".nan", ".NaN", ".NAN"})) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const double infinity = std::numeric_limits<double>::infinity();
  if (IsOneOf(text, {".inf", ".Inf", ".INF", "+.inf"})) return infinity;
  if (IsOneOf(text, {"-.inf", "-.Inf", "-.INF"})) return -infinity;
  uint64_t value = 0;
  if (ParseRadix(text, &value)) return value;
  Json number = ParseNumber(text);
  return number.is_null() ? Json(text) : number;
}

// Names the first line with bytes that are no UTF-8.
absl::Status NotUtf8(absl::string_view text) {
  int line = 1;
  for (const absl::string_view one : absl::StrSplit(text, '\n')) {
    if (!IsUtf8(one)) break;
    ++line;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ": has bytes that are not UTF-8 text"));
}

class Converter {
 public:
  explicit Converter(YamlDocument* document) : document_(document) {}

  absl::StatusOr<Json> Convert(const std::string& path, const YAML::Node& node,
                               int depth) {
    const YAML::Mark mark = node.Mark();
    if (depth > kDeepest) {
      return AtLine(mark,
                    absl::StrCat("nested deeper than ", kDeepest, " levels"));
    }
    if (++values_ > kMostValues) {
      return AtLine(mark, absl::StrCat("more than ", kMostValues,
                                       " values, aliases counted each time"));
    }
    if (!mark.is_null()) document_->lines.try_emplace(path, mark.line + 1);
    const std::string& tag = node.Tag();
    const bool own_tag =
        !tag.empty() && tag != "?" && tag != "!" && tag != kTextTag;
    if (own_tag)
      return AtLine(mark, absl::StrCat("tag ", tag, " is not known"));
    switch (node.Type()) {
      case YAML::NodeType::Map:
        return ConvertMap(path, node, depth);
      case YAML::NodeType::Sequence:
        return ConvertList(path, node, depth);
      case YAML::NodeType::Scalar:
        return tag == "?" || tag.empty() ? PlainScalar(node.Scalar())
                                         : Json(node.Scalar());
      default:
        return Json(nullptr);
    }
  }

 private:
  absl::StatusOr<Json> ConvertMap(const std::string& path,
                                  const YAML::Node& node, int depth) {
    Json object = Json::object();
    absl::flat_hash_set<std::string> keys;
    for (const auto& member : node) {
      const YAML::Mark mark = member.first.Mark();
      if (!member.first.IsScalar()) {
        return AtLine(mark, "a key must be text");
      }
      const std::string& key = member.first.Scalar();
      if (key == "<<") {
        return AtLine(mark,
                      "merge keys (<<) are not supported: write the "
                      "fields out");
      }
      const std::string member_path =
          path.empty() ? key : absl::StrCat(path, ".", key);
      if (!keys.insert(key).second) {
        return AtLine(mark, absl::StrCat(member_path, ": is there twice"));
      }
      // Errors about a member are about the line of its key.
      document_->lines.try_emplace(member_path, mark.line + 1);
      ASSIGN_OR_RETURN(Json value,
                       Convert(member_path, member.second, depth + 1));
      object.emplace(key, std::move(value));
    }
    return object;
  }

  absl::StatusOr<Json> ConvertList(const std::string& path,
                                   const YAML::Node& node, int depth) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      ASSIGN_OR_RETURN(
          Json value,
          Convert(absl::StrCat(path, "[", list.size(), "]"), item, depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  YamlDocument* const document_;
  int values_ = 0;
};

}  // namespace

int YamlDocument::LineOf(absl::string_view message) const {
  std::string path(message.substr(0, message.find(": ")));
  while (!path.empty()) {
    const auto it = lines.find(path);
    if (it != lines.end()) return it->second;
    const size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
  return 0;
}

absl::StatusOr<YamlDocument> ReadYaml(const std::string& text) {
  if (text.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("is larger than ", kMaxYamlBytes, " bytes"));
  }
  // yaml-cpp takes the first byte that is none for the end of the text.
  if (!IsUtf8(text)) return NotUtf8(text);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty()) return absl::InvalidArgumentError("is empty");
    if (documents.size() > 1) {
      return AtLine(documents[1].Mark(),
                    "a second document begins: must be one only");
    }
    YamlDocument document;
    ASSIGN_OR_RETURN(document.json,
                     Converter(&document).Convert("", documents[0], 0));
    return document;
  } catch (const YAML::Exception& error) {
    return AtLine(error.mark, error.msg);
  }
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  if (path == "-") {
    std::string text(kMaxYamlBytes + 1, '\0');
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(std::cin.gcount()));
    return text;  // ReadYaml refuses what is too long
  }
  ASSIGN_OR_RETURN(const client::File file, client::File::OpenToRead(path));
  return file.ReadAt(0, kMaxYamlBytes + 1);
}

}  // namespace trainyard::trainctl
