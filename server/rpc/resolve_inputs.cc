#include "server/rpc/resolve_inputs.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/json/names.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr char kWeights[] = "model.safetensors";
constexpr char kConfig[] = "model.json";

// Where sources are looked for.
struct Place {
  const Ports& ports;
  const bool dry_run;
};

bool MustResolve(const v1::Source& source) {
  return source.from_case() == v1::Source::kArtifact ||
         source.from_case() == v1::Source::kUpload;
}

bool MustResolve(const v1::EnsembleMember& member) {
  return !member.job().empty() || MustResolve(member.model().weights()) ||
         MustResolve(member.torchscript()) || MustResolve(member.config());
}

absl::Status CheckThere(const Place& place, absl::string_view field,
                        const v1::Source& source) {
  if (source.from_case() == v1::Source::kUpload && !place.dry_run) {
    return BadField(
        absl::StrCat(field, ".upload"),
        absl::StrCat(Quoted(source.upload()),
                     ": a server cannot read it: clients upload it and put "
                     "the artifact in its place, as trainctl submit does"));
  }
  if (source.from_case() != v1::Source::kArtifact) return absl::OkStatus();
  ASSIGN_OR_RETURN(const engine::BlobStat stat,
                   place.ports.blobs->Stat(source.artifact()));
  if (stat.blob.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      field, ".artifact: ", source.artifact(),
      " is not in this server's artifact store: upload it first, such as with "
      "trainctl artifacts upload"));
}

absl::Status WrongJob(const std::string& job, absl::string_view problem) {
  return absl::FailedPreconditionError(
      absl::StrCat("job: ", job, " ", problem));
}

absl::Status CheckSucceeded(const std::string& name, core::JobState state) {
  switch (state) {
    case core::JobState::kSucceeded:
      return absl::OkStatus();
    case core::JobState::kFailed:
    case core::JobState::kCancelled:
      return WrongJob(
          name, absl::StrCat(state == core::JobState::kFailed ? "failed"
                                                              : "was cancelled",
                             " and left no model: train it again, or take "
                             "another job"));
    default:
      return WrongJob(
          name,
          absl::StrCat(
              "is ",
              ShortEnumName(*v1::Job::State_descriptor()->FindValueByNumber(
                  ToProto(state))),
              ": submit the ensemble once it has succeeded, "
              "which trainctl watch ",
              name, " waits for"));
  }
}

absl::Status FillSource(const std::string& name, const engine::StoredJob& job,
                        absl::string_view output, v1::Source* source) {
  const auto it =
      std::find_if(job.outputs.begin(), job.outputs.end(),
                   [&](const core::Output& one) { return one.name == output; });
  if (it == job.outputs.end()) {
    return WrongJob(name, absl::StrCat("left no ", output,
                                       ": give the member as model (or "
                                       "torchscript) and config instead"));
  }
  source->set_artifact(it->artifact);
  return absl::OkStatus();
}

// The model the job left, as it would have been given by hand.
absl::Status ReadJob(const Ports& ports, const std::string& name,
                     v1::EnsembleMember* filled) {
  ASSIGN_OR_RETURN(const core::JobId id, ParseJobName("job", name));
  const absl::StatusOr<engine::StoredJob> job = ports.jobs->GetJob(id);
  if (absl::IsNotFound(job.status())) {
    return absl::NotFoundError(
        absl::StrCat("job: ", name,
                     " does not exist: take a training job that succeeded, as "
                     "trainctl list --state succeeded shows them"));
  }
  RETURN_IF_ERROR(job.status());
  v1::JobSpec spec;
  if (!spec.ParseFromString(job->spec)) {
    return absl::DataLossError(
        absl::StrCat("job: ", name, ": its stored spec is damaged"));
  }
  if (!spec.has_training()) {
    return WrongJob(name, "trains no model: take a training job");
  }
  RETURN_IF_ERROR(CheckSucceeded(name, job->state));
  *filled->mutable_model() = spec.training().model();
  RETURN_IF_ERROR(FillSource(name, *job, kWeights,
                             filled->mutable_model()->mutable_weights()));
  return FillSource(name, *job, kConfig, filled->mutable_config());
}

template <typename Message>
bool SameOrUnset(bool set, const Message& given, const Message& filled) {
  return !set || given.SerializeAsString() == filled.SerializeAsString();
}

// What is filled in already must be the same: the spec of a job submitted
// before can be submitted again.
absl::Status ResolveJob(const Ports& ports, v1::EnsembleMember* member) {
  v1::EnsembleMember filled;
  RETURN_IF_ERROR(ReadJob(ports, member->job(), &filled));
  const std::string want = absl::StrCat(
      "given beside job: must be left out: ", member->job(), " brings its own");
  if (!SameOrUnset(member->has_model(), member->model(), filled.model())) {
    return BadField("model", want);
  }
  if (!SameOrUnset(member->has_config(), member->config(), filled.config())) {
    return BadField("config", want);
  }
  member->mutable_model()->Swap(filled.mutable_model());
  member->mutable_config()->Swap(filled.mutable_config());
  return absl::OkStatus();
}

absl::Status ResolveMember(const Place& place, v1::EnsembleMember* member) {
  if (!member->job().empty()) RETURN_IF_ERROR(ResolveJob(place.ports, member));
  RETURN_IF_ERROR(
      CheckThere(place, "model.weights", member->model().weights()));
  RETURN_IF_ERROR(CheckThere(place, "torchscript", member->torchscript()));
  return CheckThere(place, "config", member->config());
}

}  // namespace

bool MustResolve(const v1::JobSpec& spec) {
  const v1::EnsembleInferenceSpec& ensemble = spec.ensemble();
  return MustResolve(spec.training().data().source()) ||
         MustResolve(spec.training().model().weights()) ||
         MustResolve(ensemble.data().source()) ||
         std::any_of(ensemble.members().begin(), ensemble.members().end(),
                     [](const auto& member) { return MustResolve(member); });
}

absl::Status ResolveInputs(const Ports& ports, bool dry_run,
                           v1::JobSpec* spec) {
  const Place place{ports, dry_run};
  if (!spec->has_ensemble()) {
    RETURN_IF_ERROR(CheckThere(place, "training.data.source",
                               spec->training().data().source()));
    return CheckThere(place, "training.model.weights",
                      spec->training().model().weights());
  }
  RETURN_IF_ERROR(CheckThere(place, "ensemble.data.source",
                             spec->ensemble().data().source()));
  for (int i = 0; i < spec->ensemble().members_size(); ++i) {
    const absl::Status status =
        ResolveMember(place, spec->mutable_ensemble()->mutable_members(i));
    if (!status.ok()) {
      return Below(absl::StrCat("ensemble.members[", i, "]"), status);
    }
  }
  return absl::OkStatus();
}

}  // namespace trainyard::rpc
