#include "bench/scheduler/measure.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace trainyard::bench {
namespace {

// The words of a file of /proc, those of its name in brackets left out.
absl::StatusOr<std::vector<double>> ReadNumbers(pid_t pid, const char* name) {
  const std::string path = absl::StrCat("/proc/", pid, "/", name);
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (text.empty()) {
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot be read; this needs Linux"));
  }
  const size_t bracket = text.rfind(')');
  if (bracket != std::string::npos) text.erase(0, bracket + 1);
  std::vector<double> numbers;
  for (const auto word : absl::StrSplit(text, ' ', absl::SkipWhitespace())) {
    double number = 0;  // the state is a letter
    if (!absl::SimpleAtod(word, &number)) number = 0;
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

void Print(const char* name, double value, const char* unit,
           const Details& details) {
  std::printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"", name,
              value, unit);
  for (const auto& [detail, number] : details) {
    std::printf(", \"%s\": %.6g", detail, number);
  }
  std::printf("}\n");
  std::fflush(stdout);
}

double Quantile(std::vector<double> values, double share) {
  const double last = static_cast<double>(values.size() - 1);
  const auto at = values.begin() + static_cast<ptrdiff_t>(share * last + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

absl::StatusOr<absl::Duration> CpuTimeOf(pid_t pid) {
  ASSIGN_OR_RETURN(const std::vector<double> stat, ReadNumbers(pid, "stat"));
  // proc(5): utime and stime are fields 14 and 15; the first here is field 3.
  if (stat.size() < 13) return absl::InternalError("/proc/PID/stat is short");
  return absl::Seconds((stat[11] + stat[12]) /
                       static_cast<double>(sysconf(_SC_CLK_TCK)));
}

absl::StatusOr<double> ResidentBytesOf(pid_t pid) {
  ASSIGN_OR_RETURN(const std::vector<double> statm, ReadNumbers(pid, "statm"));
  if (statm.size() < 2) return absl::InternalError("/proc/PID/statm is short");
  return statm[1] * static_cast<double>(sysconf(_SC_PAGESIZE));
}

absl::Duration ThreadCpuTime() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

}  // namespace trainyard::bench
