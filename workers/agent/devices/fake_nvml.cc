// A stand-in for NVIDIA's library, for tests: two cards, the second of which
// knows little. Environment: FAKE_NVML_FAIL makes nvmlInit_v2 fail.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "workers/agent/devices/nvml.h"

extern "C" {

struct nvmlDevice_st {
  int number;
};

constexpr nvmlReturn_t kNotSupported = 3;
static nvmlDevice_st cards[2] = {{0}, {1}};

nvmlReturn_t nvmlInit_v2() {
  return std::getenv("FAKE_NVML_FAIL") != nullptr ? 9 : 0;
}
nvmlReturn_t nvmlShutdown() { return 0; }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return 0;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* card) {
  *card = &cards[index];
  return 0;
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t card, char* uuid, unsigned size) {
  std::snprintf(uuid, size, "GPU-0000-%d", card->number);
  return 0;
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t, char* name, unsigned size) {
  std::snprintf(name, size, "Fake H200");
  return 0;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t, nvmlMemory_t* memory) {
  *memory = {1000, 400, 600};
  return 0;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t card,
                                           nvmlUtilization_t* utilization) {
  if (card->number == 1) return kNotSupported;
  *utilization = {75, 10};
  return 0;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t card, int,
                                      unsigned* celsius) {
  if (card->number == 1) return kNotSupported;
  *celsius = 61;
  return 0;
}
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t card, unsigned* milliwatts) {
  if (card->number == 1) return kNotSupported;
  *milliwatts = 250500;
  return 0;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(
    nvmlDevice_t card, unsigned* count, nvmlProcessInfo_t* processes) {
  if (card->number == 1) return kNotSupported;
  processes[0] = {41, 1, 0, 0};
  processes[1] = {42, 500, 0, 0};
  processes[2] = {43, ~0ULL, 0, 0};
  *count = 3;
  return 0;
}

}  // extern "C"
