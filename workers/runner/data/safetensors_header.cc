#include "workers/runner/data/safetensors_header.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"

namespace trainyard::data {
namespace {

// As many as any model of today has, with room; bounds memory before the data
// is seen.
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxDimensions = 64;

bool ParseDType(const std::string& name, DType* dtype) {
  for (DType candidate :
       {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
        DType::kI32, DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    if (name == DTypeName(candidate)) {
      *dtype = candidate;
      return true;
    }
  }
  return false;
}

// Receives the JSON parser's events and accepts only what the format allows:
//   {"__metadata__": {NAME: STRING, ...},
//    TENSOR: {"dtype": STRING, "shape": [...], "data_offsets": [BEGIN, END]},
//    ...}
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsHeader header;
  std::string error;

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override {
    return Unexpected(absl::StrCat("the negative number ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Unexpected(absl::StrCat("the number ", text));
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Fail(absl::StrCat("shape: ", value, " is too large"));
      }
      if (entry_.shape.size() == kMaxDimensions) {
        return Fail(absl::StrCat("shape has more than ", kMaxDimensions,
                                 " dimensions"));
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (num_offsets_ == 2)
        return Fail("data_offsets has more than two numbers");
      (num_offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return Unexpected(absl::StrCat("the number ", value));
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      if (!header.metadata.emplace(member_, std::move(value)).second) {
        return Fail(
            absl::StrCat("__metadata__ has ", Quote(member_), " twice"));
      }
      return true;
    }
    if (place_ == Place::kTensor && member_ == "dtype") {
      if (!ParseDType(value, &entry_.dtype)) {
        return Fail(absl::StrCat(
            "dtype is ", Quote(value),
            "; it must be one of F64, F32, F16, BF16, I64, I32, I16, I8, "
            "U8, BOOL"));
      }
      has_dtype_ = true;
      return true;
    }
    return Unexpected(absl::StrCat("the text ", Quote(value)));
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        place_ = name_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
        if (place_ == Place::kMetadata) return true;
        entry_ = TensorEntry();
        num_offsets_ = 0;
        has_dtype_ = has_shape_ = false;
        if (header.tensors.size() == kMaxTensors) {
          return Fail(absl::StrCat("more than ", kMaxTensors, " tensors"));
        }
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool key(string_t& value) override {
    if (place_ == Place::kTop) {
      name_ = std::move(value);
      if (header.tensors.count(name_) != 0) return Fail("is there twice");
      return true;
    }
    member_ = std::move(value);
    if (place_ == Place::kMetadata) return true;
    if (member_ != "dtype" && member_ != "shape" && member_ != "data_offsets") {
      return Fail(absl::StrCat("unknown member ", Quote(member_),
                               "; dtype, shape and data_offsets are known"));
    }
    if ((member_ == "dtype" && has_dtype_) ||
        (member_ == "shape" && has_shape_) ||
        (member_ == "data_offsets" && num_offsets_ > 0)) {
      return Fail(absl::StrCat(member_, " is there twice"));
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && member_ == "shape") {
      place_ = Place::kShape;
      return true;
    }
    if (place_ == Place::kTensor && member_ == "data_offsets") {
      place_ = Place::kOffsets;
      return true;
    }
    return Unexpected("an array");
  }

  bool end_array() override {
    if (place_ == Place::kShape) has_shape_ = true;
    if (place_ == Place::kOffsets && num_offsets_ != 2) {
      return Fail("data_offsets needs two numbers, begin and end");
    }
    place_ = Place::kTensor;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTop) {
      place_ = Place::kDone;
      return true;
    }
    if (place_ == Place::kTensor && !FinishTensor()) return false;
    place_ = Place::kTop;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    error = absl::StrCat("the header is not JSON: error at byte ", position);
    return false;
  }

 private:
  enum class Place {
    kOutside,
    kTop,
    kMetadata,
    kTensor,
    kShape,
    kOffsets,
    kDone
  };

  static std::string Quote(absl::string_view text) {
    return absl::StrCat("\"", CleanUtf8(text.substr(0, 200)), "\"");
  }

  bool Fail(const std::string& what) {
    error = place_ == Place::kMetadata
                ? what
                : absl::StrCat("tensor ", Quote(name_), ": ", what);
    return false;
  }

  bool Unexpected(const std::string& what) {
    switch (place_) {
      case Place::kOutside:
        error =
            absl::StrCat("the header is ", what, "; it must be a JSON object");
        return false;
      case Place::kTop:
        return Fail(absl::StrCat("found ", what, "; it must be an object"));
      case Place::kMetadata:
        return Fail(absl::StrCat("__metadata__ ", Quote(member_), ": found ",
                                 what, "; it must be text"));
      default:
        return Fail(absl::StrCat(
            member_, ": found ", what, "; it must be ",
            member_ == "dtype" ? "text" : "a list of whole numbers"));
    }
  }

  bool FinishTensor() {
    if (!has_dtype_) return Fail("dtype is missing");
    if (!has_shape_) return Fail("shape is missing");
    if (num_offsets_ != 2) return Fail("data_offsets is missing");
    uint64_t bytes = 0;
    if (!TensorBytes(entry_.dtype, entry_.shape, &bytes)) {
      return Fail(absl::StrCat("shape [", absl::StrJoin(entry_.shape, ", "),
                               "] is too large"));
    }
    if (entry_.begin > entry_.end) {
      return Fail(absl::StrCat("data_offsets [", entry_.begin, ", ", entry_.end,
                               "] end before they begin"));
    }
    if (entry_.end - entry_.begin != bytes) {
      return Fail(absl::StrCat(DTypeName(entry_.dtype), " of shape [",
                               absl::StrJoin(entry_.shape, ", "), "] needs ",
                               bytes, " bytes; data_offsets [", entry_.begin,
                               ", ", entry_.end, "] hold ",
                               entry_.end - entry_.begin));
    }
    header.tensors.emplace(name_, std::move(entry_));
    return true;
  }

  Place place_ = Place::kOutside;
  std::string name_;    // the member of the top object
  std::string member_;  // the member below it
  TensorEntry entry_;
  int num_offsets_ = 0;
  bool has_dtype_ = false;
  bool has_shape_ = false;
};

}  // namespace

bool TensorBytes(DType dtype, const std::vector<int64_t>& shape,
                 uint64_t* bytes) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  uint64_t product = DTypeSize(dtype);
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0) return false;
    if (extent == 0) {
      empty = true;
      continue;
    }
    if (product > kMax / static_cast<uint64_t>(extent)) return false;
    product *= static_cast<uint64_t>(extent);
  }
  *bytes = empty ? 0 : product;
  return true;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view json) {
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(json.data(), json.data() + json.size(),
                                 &reader)) {
    return absl::InvalidArgumentError(reader.error);
  }
  return std::move(reader.header);
}

}  // namespace trainyard::data
