// YAML as JSON values, by YAML 1.2's core schema: 017 is 17, "no" is text.
//
//   ASSIGN_OR_RETURN(YamlDocument document, ReadYaml(text));
//   document.json["training"]["epochs"];
//   document.LineOf("training.epochs");
//
// For text from outside: INVALID_ARGUMENT, with the line where there is one,
// for syntax errors, duplicate keys, several documents, keys that are no text,
// merge keys, own tags, over 1 MiB of text, nesting over 32 levels and over
// 20,000 values (aliases count as often as they are used).
#pragma once

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/json/job_json.h"

namespace trainyard::trainctl {

constexpr size_t kMaxYamlBytes = 1 << 20;

struct YamlDocument {
  Json json;
  // By path ("resources.devices[0].kind"), from 1.
  absl::flat_hash_map<std::string, int> lines;

  // Line of the value that an error message ("path: …") is about, or of the
  // nearest one around it; 0: not known.
  int LineOf(absl::string_view message) const;
};

absl::StatusOr<YamlDocument> ReadYaml(const std::string& text);

// A whole small file. NOT_FOUND, INVALID_ARGUMENT (too large, no file).
// "-": standard input.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace trainyard::trainctl
