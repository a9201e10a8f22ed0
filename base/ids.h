// Distinct types for identifiers, so that one cannot be passed for another.
//
//   struct JobIdTag {};
//   using JobId = NumberId<JobIdTag>;
//   JobId id(42);  id.value() == 42
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace trainyard {

// An id that is a number; 0 means none.
template <typename Tag>
class NumberId {
 public:
  constexpr NumberId() = default;
  constexpr explicit NumberId(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  friend constexpr auto operator<=>(NumberId, NumberId) = default;
  template <typename H>
  friend H AbslHashValue(H h, NumberId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  uint64_t value_ = 0;
};

// An id that is a name; empty means none.
template <typename Tag>
class NameId {
 public:
  NameId() = default;
  explicit NameId(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  friend auto operator<=>(const NameId&, const NameId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const NameId& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  std::string value_;
};

}  // namespace trainyard
