// RETURN_IF_ERROR and ASSIGN_OR_RETURN for absl::Status, which the Abseil
// releases we build with do not ship.
//
//   RETURN_IF_ERROR(store->Commit(records));
//   ASSIGN_OR_RETURN(std::string text, ReadFile(path));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#define TRAINYARD_CONCAT_INNER_(a, b) a##b
#define TRAINYARD_CONCAT_(a, b) TRAINYARD_CONCAT_INNER_(a, b)

#define RETURN_IF_ERROR(expr)                                   \
  do {                                                          \
    if (absl::Status trainyard_status_ = (expr);                \
        !trainyard_status_.ok()) {                              \
      return trainyard_status_;                                 \
    }                                                           \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(TRAINYARD_CONCAT_(trainyard_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = *std::move(tmp)

namespace trainyard {

// The status with `context` and ": " in front of its message; OK stays OK.
inline absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace trainyard
