#include "workers/runner/torch_status.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace trainyard::runner {
namespace {

absl::Status FromText(absl::string_view text) {
  const absl::string_view first = text.substr(0, text.find('\n'));
  // The CPU's allocator and cuBLAS have no type of their own for this.
  for (absl::string_view sign :
       {"can't allocate memory", "out of memory", "ALLOC_FAILED"}) {
    if (absl::StrContains(text, sign)) {
      return absl::ResourceExhaustedError(first);
    }
  }
  return absl::InternalError(first);
}

}  // namespace

absl::Status StatusOfCurrentException() {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    const absl::string_view text = error.what_without_backtrace();
    return absl::ResourceExhaustedError(text.substr(0, text.find('\n')));
  } catch (const c10::Error& error) {
    return FromText(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the machine's memory is used up");
  } catch (const std::exception& error) {
    return FromText(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

}  // namespace trainyard::runner
