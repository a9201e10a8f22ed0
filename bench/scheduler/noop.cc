// Jobs that do nothing, from the submit to the acknowledged end.
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "bench/rpc/loopback.h"
#include "bench/rpc/server_process.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/sim_fleet.h"
#include "bench/scheduler/submitter.h"

namespace trainyard::bench {
namespace {

constexpr int kWorkers = 64;
constexpr double kJobs = 60'000;  // of a round
constexpr absl::Duration kPatience = absl::Minutes(5);

struct Result {
  double per_second = 0;
  double server_cpu = 0;  // seconds a job
};

absl::StatusOr<Result> RunRound(const ServerProcess& server,
                                Submitter& submitter, SimFleet& fleet,
                                int jobs) {
  const uint64_t before = fleet.counts().ended;
  ASSIGN_OR_RETURN(const absl::Duration cpu, CpuTimeOf(server.pid()));
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(submitter.SubmitMany(jobs));
  RETURN_IF_ERROR(
      fleet.WaitForEnds(before + static_cast<uint64_t>(jobs), kPatience));
  const absl::Duration taken = absl::Now() - begin;
  ASSIGN_OR_RETURN(const absl::Duration cpu_after, CpuTimeOf(server.pid()));
  return Result{jobs / absl::ToDoubleSeconds(taken),
                absl::ToDoubleSeconds(cpu_after - cpu) / jobs};
}

absl::Status RunWith(const SchedulerFlags& flags, int devices,
                     const char* name) {
  const Folder folder(flags.folder);
  ASSIGN_OR_RETURN(const auto server,
                   ServerProcess::Start(flags.server,
                                        absl::StrCat(folder.path(), "/state")));
  ASSIGN_OR_RETURN(const Channels channels, Connect(server->address(), 1));
  ASSIGN_OR_RETURN(const auto fleet,
                   SimFleet::Start(server->address(),
                                   {.workers = kWorkers, .devices = devices}));
  RETURN_IF_ERROR(fleet->WaitUntilTold(kPatience));
  Submitter submitter(channels[0]);
  const int jobs = flags.Scaled(kJobs, 500);
  RETURN_IF_ERROR(RunRound(*server, submitter, *fleet, jobs / 10).status());
  std::vector<double> rates, cpu;
  for (int i = 0; i < flags.rounds; ++i) {
    ASSIGN_OR_RETURN(const Result result,
                     RunRound(*server, submitter, *fleet, jobs));
    rates.push_back(result.per_second);
    cpu.push_back(result.server_cpu);
  }
  Print(name, Median(rates), "jobs/s",
        {{"workers", kWorkers},
         {"devices_per_worker", devices},
         {"jobs", jobs},
         {"server_cpu_seconds_per_job", Median(cpu)}});
  return absl::OkStatus();
}

}  // namespace

absl::Status RunNoop(const SchedulerFlags& flags) {
  RETURN_IF_ERROR(RunWith(flags, flags.devices, "noop_jobs_per_second"));
  return RunWith(flags, 1, "noop_jobs_per_second_one_device");
}

}  // namespace trainyard::bench
