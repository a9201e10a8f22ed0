#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/devices/cgroup.h"
#include "workers/agent/devices/cpu.h"
#include "workers/agent/devices/cuda.h"
#include "workers/agent/devices/find.h"
#include "workers/agent/devices/process_usage.h"
#include "workers/agent/testing/temp_dir.h"
#include "workers/agent/usage.h"

namespace trainyard::agent {
namespace {

using ::testing::HasSubstr;

// A machine's /proc and /sys as files of a test.
class FakeRoot {
 public:
  FakeRoot() {
    Write("proc/meminfo",
          "MemTotal:       16000 kB\nMemFree:  100 kB\n"
          "MemAvailable:    8000 kB\n");
    Write("proc/cpuinfo",
          "processor\t: 0\nmodel name\t: Imaginary CPU @ 3 GHz\n\n");
  }
  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  const std::string& path() const { return dir_.path(); }
  DeviceInfo Describe() const { return MakeCpuDevice(path())->Describe(); }

 private:
  TempDir dir_;
};

TEST(CpuDeviceTest, DescribesTheMachine) {
  FakeRoot root;
  const DeviceInfo info = root.Describe();
  EXPECT_EQ(info.id, "cpu");
  EXPECT_EQ(info.kind, DeviceKind::kCpu);
  EXPECT_EQ(info.model, "Imaginary CPU @ 3 GHz");
  EXPECT_EQ(info.memory_bytes, 16000u * 1024);
  EXPECT_EQ(info.free_memory_bytes, 8000u * 1024);
  EXPECT_GE(info.cores, 1u);
}

TEST(CpuDeviceTest, RespectsTheTightestGroupOfVersion2) {
  FakeRoot root;
  root.Write("proc/self/cgroup", "0::/slice/service\n");
  root.Write("sys/fs/cgroup/slice/service/cpu.max", "max 100000\n");
  root.Write("sys/fs/cgroup/slice/cpu.max", "50000 100000\n");
  root.Write("sys/fs/cgroup/slice/service/memory.max", "8000000\n");
  root.Write("sys/fs/cgroup/slice/service/memory.current", "5000000\n");
  root.Write("sys/fs/cgroup/slice/service/memory.stat",
             "anon 1\ninactive_file 1000000\n");
  root.Write("sys/fs/cgroup/slice/memory.max", "max\n");
  const CgroupLimits limits = ReadCgroupLimits(root.path());
  EXPECT_EQ(limits.cores, 0.5);
  const DeviceInfo info = root.Describe();
  EXPECT_EQ(info.cores, 1u);
  EXPECT_EQ(info.memory_bytes, 8000000u);
  EXPECT_EQ(info.free_memory_bytes, 4000000u);
}

TEST(CpuDeviceTest, RespectsGroupsOfVersion1) {
  FakeRoot root;
  root.Write("proc/self/cgroup", "5:cpu,cpuacct:/job\n3:memory:/job\n");
  root.Write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "150000\n");
  root.Write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  root.Write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4000000\n");
  root.Write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000000\n");
  root.Write("sys/fs/cgroup/memory/memory.limit_in_bytes",
             "9223372036854771712\n");
  const CgroupLimits limits = ReadCgroupLimits(root.path());
  EXPECT_EQ(limits.cores, 1.5);
  EXPECT_EQ(limits.memory_bytes, 4000000u);
  EXPECT_EQ(root.Describe().free_memory_bytes, 3000000u);
}

TEST(CpuDeviceTest, NoLimitsLeaveTheMachineAsItIs) {
  FakeRoot root;
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("sys/fs/cgroup/cpu.max", "-1 0\n");
  const CgroupLimits limits = ReadCgroupLimits(root.path());
  EXPECT_EQ(limits.cores, 0);
  EXPECT_EQ(limits.memory_bytes, 0u);
}

TEST(CpuDeviceTest, ThisMachineHasOne) {
  const auto devices = FindDevices("cpu");
  ASSERT_TRUE(devices.ok()) << devices.status();
  const DeviceInfo info = (*devices)[0]->Describe();
  EXPECT_GE(info.cores, 1u);
  EXPECT_GT(info.memory_bytes, 0u);
  EXPECT_GT(info.free_memory_bytes, 0u);
  EXPECT_LE(info.free_memory_bytes, info.memory_bytes);
}

TEST(CudaDeviceTest, DescribesCardsByTheirUuid) {
  const Devices cards = FindCudaDevices(FAKE_NVML);
  ASSERT_EQ(cards.size(), 2u);
  const DeviceInfo info = cards[0]->Describe();
  EXPECT_EQ(info.id, "cuda:GPU-0000-0");
  EXPECT_EQ(info.kind, DeviceKind::kCuda);
  EXPECT_EQ(info.model, "Fake H200");
  EXPECT_EQ(info.memory_bytes, 1000u);
  EXPECT_EQ(info.free_memory_bytes, 400u);
  EXPECT_EQ(cards[1]->Describe().id, "cuda:GPU-0000-1");
  EXPECT_EQ(CudaUuid(info.id), "GPU-0000-0");
}

TEST(CudaDeviceTest, SamplesTheCardAndTheRunnersShareOfIt) {
  const Devices cards = FindCudaDevices(FAKE_NVML);
  ASSERT_EQ(cards.size(), 2u);
  const DeviceSample sample = cards[0]->Sample(42);
  EXPECT_EQ(sample.utilization, 0.75);
  EXPECT_EQ(sample.temperature_celsius, 61);
  EXPECT_EQ(sample.power_watts, 250.5);
  EXPECT_EQ(sample.runner_memory_bytes, 500u);
  EXPECT_FALSE(cards[0]->Sample(43).runner_memory_bytes);  // not available
  EXPECT_FALSE(cards[0]->Sample(99).runner_memory_bytes);  // not on it
}

TEST(CudaDeviceTest, WhatACardDoesNotKnowIsLeftOut) {
  const Devices cards = FindCudaDevices(FAKE_NVML);
  ASSERT_EQ(cards.size(), 2u);
  const DeviceSample sample = cards[1]->Sample(42);
  EXPECT_FALSE(sample.utilization);
  EXPECT_FALSE(sample.temperature_celsius);
  EXPECT_FALSE(sample.power_watts);
  EXPECT_FALSE(sample.runner_memory_bytes);
}

TEST(CudaDeviceTest, NoDriverNoCards) {
  EXPECT_TRUE(FindCudaDevices("/no/such/library.so").empty());
  setenv("FAKE_NVML_FAIL", "1", 1);
  EXPECT_TRUE(FindCudaDevices(FAKE_NVML).empty());
  unsetenv("FAKE_NVML_FAIL");
}

TEST(FindDevicesTest, RefusesWhatDoesNotExist) {
  EXPECT_EQ(FindDevices("gpu").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindDevices("").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindDevices("cpu,cpu").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(FindDevices("auto").ok());
#ifdef __linux__
  EXPECT_EQ(FindDevices("mps").status().code(), absl::StatusCode::kNotFound);
#endif
}

TEST(ProcessUsageTest, MeasuresMemoryAndShareOfTheCores) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  ProcessUsage usage(getpid(), 2, &clock);
  const ProcessSample first = usage.Sample();
  ASSERT_TRUE(first.rss_bytes);
  EXPECT_GT(*first.rss_bytes, 100u * 1024);
  EXPECT_FALSE(first.cpu_share);  // no time has passed
  const clock_t begin = ::clock();
  volatile double sink = 0;
  while (::clock() - begin < CLOCKS_PER_SEC / 10) sink = sink + 1;
  clock.Advance(absl::Milliseconds(200));
  const ProcessSample second = usage.Sample();
  ASSERT_TRUE(second.cpu_share);
  // 0.1 s of CPU time on 2 cores in 0.2 s; the system counts in 0.01 s.
  EXPECT_NEAR(*second.cpu_share, 0.25, 0.06);
}

TEST(ProcessUsageTest, AProcessThatIsGoneHasNoFigures) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  ProcessUsage usage(0x7ffffff0, 2, &clock);
  clock.Advance(absl::Seconds(1));
  const ProcessSample sample = usage.Sample();
  EXPECT_FALSE(sample.rss_bytes);
  EXPECT_FALSE(sample.cpu_share);
}

TEST(UsageSamplerTest, FillsOnlyWhatTheRunnerLeftOut) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  const Devices cards = FindCudaDevices(FAKE_NVML);
  UsageSampler usage(getpid(), {cards[0].get()}, 1, &clock);
  v1::MetricPoint point;
  point.set_rss_bytes(7);
  point.set_utilization(0.5);
  usage.Fill(point);
  EXPECT_EQ(point.time().seconds(), 1000);
  EXPECT_EQ(point.rss_bytes(), 7u);
  EXPECT_EQ(point.utilization(), 0.5);
  EXPECT_EQ(point.temperature_celsius(), 61);
  EXPECT_EQ(point.power_watts(), 250.5);
  v1::MetricPoint bare;
  usage.Fill(bare);
  EXPECT_EQ(bare.utilization(), 0.75);
  EXPECT_GT(bare.rss_bytes(), 100u * 1024);
}

TEST(UsageSamplerTest, TellsEachDeviceAndAllTogether) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  const Devices cards = FindCudaDevices(FAKE_NVML);
  UsageSampler usage(42, {cards[0].get(), cards[1].get()}, 1, &clock);
  v1::MetricPoint point;
  point.set_utilization(0.125);  // of which of them is not known
  usage.Fill(point);
  ASSERT_EQ(point.devices_size(), 2);
  EXPECT_EQ(point.devices(0).id(), "cuda:GPU-0000-0");
  EXPECT_EQ(point.devices(0).memory_bytes(), 500u);
  EXPECT_EQ(point.devices(0).utilization(), 0.75);
  EXPECT_EQ(point.devices(0).temperature_celsius(), 61);
  EXPECT_EQ(point.devices(0).power_watts(), 250.5);
  EXPECT_EQ(point.devices(1).id(), "cuda:GPU-0000-1");
  EXPECT_FALSE(point.devices(1).has_memory_bytes());
  EXPECT_FALSE(point.devices(1).has_utilization());
  EXPECT_FALSE(point.devices(1).has_temperature_celsius());
  EXPECT_FALSE(point.devices(1).has_power_watts());
  EXPECT_EQ(point.device_memory_bytes(), 500u);
  EXPECT_EQ(point.power_watts(), 250.5);
}

TEST(UsageSamplerTest, OnACpuTheShareIsTheRunners) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  const auto devices = FindDevices("cpu");
  ASSERT_TRUE(devices.ok());
  UsageSampler usage(getpid(), {(*devices)[0].get()}, 1, &clock);
  clock.Advance(absl::Seconds(1000));
  v1::MetricPoint point;
  usage.Fill(point);
  ASSERT_EQ(point.devices_size(), 1);
  EXPECT_EQ(point.devices(0).id(), "cpu");
  ASSERT_TRUE(point.devices(0).has_utilization());
  EXPECT_EQ(point.devices(0).utilization(), point.utilization());
  EXPECT_LT(point.utilization(), 0.1) << "it did nothing for long";
  EXPECT_FALSE(point.devices(0).has_memory_bytes());
}

}  // namespace
}  // namespace trainyard::agent
