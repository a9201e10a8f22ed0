#include "workers/agent/devices/cpu_sensors.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "workers/agent/devices/cpu.h"
#include "workers/agent/devices/cpu_usage.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

class CpuSensorsTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::optional<double> Temperature() {
    return CpuSensors(dir_.path(), &clock_).Temperature();
  }

  TempDir dir_;
  ManualClock clock_{absl::FromUnixSeconds(1000)};
};

TEST_F(CpuSensorsTest, NoSensorsNoFigures) {
  CpuSensors sensors(dir_.path(), &clock_);
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(sensors.Temperature().has_value());
  EXPECT_FALSE(sensors.Power().has_value());
}

TEST_F(CpuSensorsTest, TheHottestSensorOfTheProcessorCounts) {
  Write("sys/class/hwmon/hwmon0/name", "nvme\n");
  Write("sys/class/hwmon/hwmon0/temp1_input", "90000\n");
  Write("sys/class/hwmon/hwmon1/name", "coretemp\n");
  Write("sys/class/hwmon/hwmon1/temp1_input", "51000\n");
  Write("sys/class/hwmon/hwmon1/temp2_input", "53500\n");
  Write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
  Write("sys/class/thermal/thermal_zone0/temp", "60000\n");
  EXPECT_EQ(Temperature(), 53.5);
}

TEST_F(CpuSensorsTest, ZonesStandInForSensors) {
  Write("sys/class/thermal/thermal_zone0/type", "acpitz\n");
  Write("sys/class/thermal/thermal_zone0/temp", "27800\n");
  Write("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
  Write("sys/class/thermal/thermal_zone1/temp", "48200\n");
  EXPECT_EQ(Temperature(), 48.2);
}

TEST_F(CpuSensorsTest, ABrokenSensorIsNotZeroDegrees) {
  Write("sys/class/hwmon/hwmon1/name", "k10temp\n");
  Write("sys/class/hwmon/hwmon1/temp1_input", "0\n");
  Write("sys/class/hwmon/hwmon1/temp2_input", "-128000\n");
  Write("sys/class/hwmon/hwmon1/temp3_input", "");
  EXPECT_FALSE(Temperature().has_value());
}

TEST_F(CpuSensorsTest, PowerIsEnergyOverTimeOfAllPackages) {
  Write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  Write("sys/class/powercap/intel-rapl:0/energy_uj", "5000000\n");
  Write("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "9000000\n");
  Write("sys/class/powercap/intel-rapl:1/name", "package-1\n");
  Write("sys/class/powercap/intel-rapl:1/energy_uj", "100\n");
  Write("sys/class/powercap/intel-rapl:0:0/name", "core\n");
  Write("sys/class/powercap/intel-rapl:0:0/energy_uj", "77\n");
  Write("sys/class/powercap/intel-rapl-mmio:0/name", "package-0\n");
  Write("sys/class/powercap/intel-rapl-mmio:0/energy_uj", "77\n");
  CpuSensors sensors(dir_.path(), &clock_);
  EXPECT_FALSE(sensors.Power().has_value());
  // 3 J and 1 J in 2 s; the first counter started over.
  Write("sys/class/powercap/intel-rapl:0/energy_uj", "7000000\n");
  Write("sys/class/powercap/intel-rapl:1/energy_uj", "2000100\n");
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(sensors.Power(), 2.0);
  clock_.Advance(absl::Milliseconds(10));
  EXPECT_EQ(sensors.Power(), 2.0) << "too soon for a new figure";
  Write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n");
  clock_.Advance(absl::Milliseconds(990));
  EXPECT_EQ(sensors.Power(), 3.0);
}

TEST_F(CpuSensorsTest, PowerThatCannotBeReadIsUnknown) {
  Write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  CpuSensors sensors(dir_.path(), &clock_);
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(sensors.Power().has_value());
}

TEST(ParseProcStat, AddsTheCoresThatCount) {
  const char text[] =
      "cpu  30 0 30 300 30 0 0 0 0 0\n"
      "cpu0 10 1 5 70 10 2 1 1 9 0\n"
      "cpu1 20 0 0 80 0 0 0 0 0 0\n"
      "intr 1 2 3\n";
  const absl::Duration tick = absl::Milliseconds(10);
  const auto first =
      ParseProcStat(text, tick, [](int core) { return core == 0; });
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->busy, absl::Milliseconds(200));
  EXPECT_EQ(first->all, absl::Seconds(1));
  const auto both = ParseProcStat(text, tick, [](int) { return true; });
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->busy, absl::Milliseconds(400));
  EXPECT_FALSE(ParseProcStat(text, tick, [](int) { return false; }));
  EXPECT_FALSE(ParseProcStat("rubbish\n", tick, [](int) { return true; }));
}

TEST_F(CpuSensorsTest, AQuotaMakesItTheGroupsUse) {
  Write("proc/self/cgroup", "0::/box\n");
  Write("sys/fs/cgroup/box/cpu.max", "50000 100000\n");
  Write("sys/fs/cgroup/box/cpu.stat", "usage_usec 1000000\nuser_usec 1\n");
  CpuUsage usage(dir_.path(), &clock_);
  EXPECT_FALSE(usage.Sample().has_value());
  Write("sys/fs/cgroup/box/cpu.stat", "usage_usec 1500000\nuser_usec 1\n");
  clock_.Advance(absl::Seconds(4));
  // 0.5 s of the 2 s that half a core has in 4 s.
  ASSERT_TRUE(usage.Sample().has_value());
  EXPECT_NEAR(*usage.Sample(), 0.25, 1e-9);
}

TEST_F(CpuSensorsTest, TheDeviceTellsTheMachinesUseOnlyAsAWhole) {
  Write("proc/self/cgroup", "5:cpu,cpuacct:/box\n");
  Write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n");
  Write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  Write("sys/fs/cgroup/cpu/box/cpuacct.usage", "0\n");
  const auto device = MakeCpuDevice(dir_.path(), &clock_);
  Write("sys/fs/cgroup/cpu/box/cpuacct.usage", "1000000000\n");
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(device->Sample(42).utilization.has_value());
  const auto share = device->Sample(0).utilization;
  ASSERT_TRUE(share.has_value());
  EXPECT_NEAR(*share, 0.5, 1e-9);
}

}  // namespace
}  // namespace trainyard::agent
