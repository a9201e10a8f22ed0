#include "workers/agent/devices/cpu_sensors.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kShortestInterval = absl::Milliseconds(200);
// Sensors that are broken or absent say 0, or far beyond what silicon bears.
constexpr double kColdest = -50;
constexpr double kHottest = 150;

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

// Names of what is in a folder, in order; none where it is not there.
std::vector<std::string> List(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Drivers of processors' own sensors.
bool IsCpuDriver(const std::string& name) {
  return name == "coretemp" || name == "k10temp" || name == "zenpower" ||
         absl::StrContains(name, "cpu");
}

bool IsCpuZone(const std::string& type) {
  return type == "x86_pkg_temp" || absl::StrContains(type, "cpu") ||
         absl::StartsWith(type, "soc");
}

std::vector<std::string> FindTemperatures(const std::string& sys) {
  std::vector<std::string> files;
  for (const std::string& name : List(sys + "/hwmon")) {
    const std::string folder = absl::StrCat(sys, "/hwmon/", name);
    if (!IsCpuDriver(FirstLine(folder + "/name"))) continue;
    for (const std::string& file : List(folder)) {
      if (absl::StartsWith(file, "temp") && absl::EndsWith(file, "_input")) {
        files.push_back(absl::StrCat(folder, "/", file));
      }
    }
  }
  if (!files.empty()) return files;
  for (const std::string& name : List(sys + "/thermal")) {
    const std::string folder = absl::StrCat(sys, "/thermal/", name);
    if (absl::StartsWith(name, "thermal_zone") &&
        IsCpuZone(FirstLine(folder + "/type"))) {
      files.push_back(folder + "/temp");
    }
  }
  return files;
}

}  // namespace

CpuSensors::CpuSensors(const std::string& root, Clock* clock)
    : clock_(clock), temperatures_(FindTemperatures(root + "/sys/class")) {
  const std::string powercap = root + "/sys/class/powercap";
  for (const std::string& name : List(powercap)) {
    // intel-rapl-mmio counts the same packages again.
    const std::string folder = absl::StrCat(powercap, "/", name);
    if (!absl::StartsWith(name, "intel-rapl:") ||
        !absl::StartsWith(FirstLine(folder + "/name"), "package")) {
      continue;
    }
    Package package;
    package.energy = folder + "/energy_uj";
    package.range = static_cast<uint64_t>(
        ReadNumber(folder + "/max_energy_range_uj").value_or(0));
    packages_.push_back(std::move(package));
  }
  Power();
}

std::optional<double> CpuSensors::Temperature() const {
  std::optional<double> hottest;
  for (const std::string& file : temperatures_) {
    const std::optional<int64_t> value = ReadNumber(file);
    if (!value || *value == 0) continue;
    const double celsius = static_cast<double>(*value) / 1000;
    if (celsius < kColdest || celsius > kHottest) continue;
    hottest = std::max(hottest.value_or(celsius), celsius);
  }
  return hottest;
}

// nullopt: one of them cannot be read, and the sum would be wrong.
std::optional<std::vector<uint64_t>> CpuSensors::ReadEnergies() const {
  std::vector<uint64_t> energies;
  for (const Package& package : packages_) {
    const std::optional<int64_t> energy = ReadNumber(package.energy);
    if (!energy || *energy < 0) return std::nullopt;
    energies.push_back(static_cast<uint64_t>(*energy));
  }
  return energies;
}

std::optional<double> CpuSensors::Power() {
  absl::MutexLock lock(&mutex_);
  if (packages_.empty()) return std::nullopt;
  const absl::Time now = clock_->Now();
  if (last_time_ && now >= *last_time_ &&
      now - *last_time_ < kShortestInterval) {
    return last_power_;
  }
  const std::optional<std::vector<uint64_t>> energies = ReadEnergies();
  if (!energies) {
    last_time_ = std::nullopt;
    last_power_ = std::nullopt;
    return std::nullopt;
  }
  double microjoules = 0;
  bool whole = true;
  for (size_t i = 0; i < packages_.size(); ++i) {
    Package& package = packages_[i];
    uint64_t energy = (*energies)[i];
    if (energy < package.last) {  // it started over
      whole = whole && package.range > 0;
      microjoules += static_cast<double>(package.range - package.last) +
                     static_cast<double>(energy);
    } else {
      microjoules += static_cast<double>(energy - package.last);
    }
    package.last = energy;
  }
  last_power_ = std::nullopt;
  if (last_time_ && now > *last_time_ && whole) {
    last_power_ = microjoules / 1e6 / absl::ToDoubleSeconds(now - *last_time_);
  }
  last_time_ = now;
  return last_power_;
}

}  // namespace trainyard::agent
