// A million queued jobs in a real server: memory, and a restart with them.
#include <chrono>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "bench/rpc/loopback.h"
#include "bench/rpc/server_process.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/submitter.h"
#include "trainyard/v1/fleet_service.grpc.pb.h"

namespace trainyard::bench {
namespace {

constexpr double kJobs = 1'000'000;
constexpr int kUsers = 16;

absl::Status AskOnce(const std::string& address) {
  ASSIGN_OR_RETURN(const Channels channels, Connect(address, 1));
  grpc::ClientContext context;
  v1::GetServerResponse response;
  const grpc::Status status =
      v1::FleetService::NewStub(channels[0])
          ->GetServer(&context, v1::GetServerRequest(), &response);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("GetServer: ", status.error_message()));
}

}  // namespace

absl::Status RunQueued(const SchedulerFlags& flags) {
  const Folder folder(flags.folder);
  const std::string state = absl::StrCat(folder.path(), "/state");
  const int jobs = flags.Scaled(kJobs, 1000);
  double empty = 0;
  double full = 0;
  {
    ASSIGN_OR_RETURN(const auto server,
                     ServerProcess::Start(flags.server, state));
    RETURN_IF_ERROR(AskOnce(server->address()));
    ASSIGN_OR_RETURN(empty, ResidentBytesOf(server->pid()));
    ASSIGN_OR_RETURN(const Channels channels, Connect(server->address(), 1));
    RETURN_IF_ERROR(Submitter(channels[0]).SubmitMany(jobs, kUsers));
    ASSIGN_OR_RETURN(full, ResidentBytesOf(server->pid()));
  }
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  ASSIGN_OR_RETURN(const auto server,
                   ServerProcess::Start(flags.server, state));
  RETURN_IF_ERROR(AskOnce(server->address()));
  const std::chrono::duration<double> taken = Clock::now() - begin;
  ASSIGN_OR_RETURN(const double again, ResidentBytesOf(server->pid()));
  ASSIGN_OR_RETURN(const absl::Duration cpu, CpuTimeOf(server->pid()));
  Print("bytes_per_queued_job", (full - empty) / jobs, "bytes",
        {{"jobs", jobs},
         {"empty_server_bytes", empty},
         {"after_restart_bytes_per_job", (again - empty) / jobs}});
  Print("restart_with_1m_jobs_seconds", taken.count(), "s",
        {{"jobs", jobs}, {"server_cpu_seconds", absl::ToDoubleSeconds(cpu)}});
  return absl::OkStatus();
}

}  // namespace trainyard::bench
