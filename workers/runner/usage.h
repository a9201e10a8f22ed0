// What this process takes of the machine.
//
//   double before = CpuSecondsUsed(); ...; CpuSecondsUsed() - before
//
// Stateless; thread-safe.
#pragma once

#include <cstdint>
#include <optional>

namespace trainyard::runner {

// Processor seconds of all threads so far, user and system.
double CpuSecondsUsed();

// Resident memory now; absent where the system does not say.
std::optional<uint64_t> ResidentBytes();

// The most resident memory so far.
uint64_t PeakResidentBytes();

}  // namespace trainyard::runner
