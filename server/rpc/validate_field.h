// Checks of single fields, shared by validate*.cc and convert*.cc. Nothing is
// allocated while values are right: submits pass here 100,000 times a second.
//
//   RETURN_IF_ERROR(CheckWhole("training.epochs", epochs, 1, 1'000'000));
//   return WrongValue("training.epochs", "0", "1 to 1,000,000");
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"
#include "google/protobuf/message.h"

namespace trainyard::rpc {

// "PATH: PROBLEM".
absl::Status BadField(absl::string_view path, absl::string_view problem);
// "PATH: VALUE: must be WANT".
absl::Status WrongValue(absl::string_view path, absl::string_view value,
                        absl::string_view want);
// "PATH: not set: must be WANT".
absl::Status NotSet(absl::string_view path, absl::string_view want);

// The same, its field being one of `path`: "model.weights: …" below
// "training" is "training.model.weights: …"; ": …" and "[2]: …" are about
// `path` itself. OK stays OK. Parts that several kinds of job have are checked
// without knowing where they are.
absl::Status Below(absl::string_view path, const absl::Status& status);

// 1234567 as "1,234,567".
std::string WithCommas(uint64_t number);
// Of UTF-8.
size_t CountCharacters(absl::string_view text);
// Of UTF-8, the start or the end: at most `limit` bytes, whole characters.
std::string Head(const std::string& text, size_t limit);
std::string Tail(const std::string& text, size_t limit);
// Bytes 33 to 126, and spaces where they are allowed.
bool IsPrintableAscii(absl::string_view text, bool spaces);
bool HasControlCharacters(absl::string_view text);

// From `least` to `most`.
absl::Status CheckWhole(absl::string_view path, uint64_t value, uint64_t least,
                        uint64_t most);
// Finite, from `least` to `most`.
absl::Status CheckReal(absl::string_view path, double value, double least,
                       double most);
// `what`: "training.labels has 70 ENTRIES: must be at most 64".
absl::Status CheckCount(absl::string_view path, size_t count, size_t most);
// At most 64; keys and values of at most 63 characters, keys not empty, no
// control characters.
absl::Status CheckLabels(
    absl::string_view path,
    const google::protobuf::Map<std::string, std::string>& labels);
// Empty, or at most 128 characters without control characters.
absl::Status CheckUser(absl::string_view path, const std::string& user);
// Refuses fields that this server's proto lacks. Not recursive.
absl::Status CheckKnown(absl::string_view path,
                        const google::protobuf::Message& message);

}  // namespace trainyard::rpc
