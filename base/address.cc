#include "base/address.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace trainyard {

absl::StatusOr<HostPort> ParseHostPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  HostPort parsed;
  const std::string digits =
      colon == std::string::npos ? "" : address.substr(colon + 1);
  if (colon == 0 || digits.empty() || digits.size() > 5 ||
      digits.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(digits, &parsed.port) || parsed.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address, "\": must be HOST:PORT, such as 127.0.0.1:7070"));
  }
  parsed.host = address.substr(0, colon);
  const bool brackets = parsed.host.front() == '[';
  if (brackets != (parsed.host.find(':') != std::string::npos) ||
      brackets != (parsed.host.back() == ']') || parsed.host == "[]") {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address,
        "\": an IPv6 address must be in brackets, as in [::1]:", parsed.port));
  }
  if (brackets) parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  return parsed;
}

bool IsLoopback(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" ||
         (absl::StartsWith(host, "127.") &&
          host.find_first_not_of("0123456789.") == std::string::npos);
}

}  // namespace trainyard
