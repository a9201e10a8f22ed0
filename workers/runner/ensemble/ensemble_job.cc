#include "workers/runner/ensemble/ensemble_job.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "workers/runner/device.h"
#include "workers/runner/ensemble/outputs.h"
#include "workers/runner/ensemble/placement.h"

namespace trainyard::runner {
namespace {

// A file's bytes stand for a model's size before it is loaded; a file that is
// not there is told by loading it.
uint64_t FileBytes(const MemberOptions& member) {
  struct stat info = {};
  const std::string& path =
      member.torchscript.empty() ? member.model.weights : member.torchscript;
  if (::stat(path.c_str(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.st_size);
}

absl::Status SelectDevices(EnsembleJob* job) {
  for (const DeviceOptions& options : job->spec.devices) {
    ASSIGN_OR_RETURN(const torch::Device device, SelectDevice(options));
    MakeDeterministic(device);
    job->devices.push_back(device);
  }
  return absl::OkStatus();
}

// The feed for members of one device that want the same normalisation.
size_t FeedOf(size_t device, const data::Normalization& normalization,
              std::vector<std::pair<size_t, data::Normalization>>* kinds,
              EnsembleJob* job) {
  for (size_t i = 0; i < kinds->size(); ++i) {
    const auto& [on, of] = (*kinds)[i];
    if (on == device && of.mean == normalization.mean &&
        of.stddev == normalization.stddev) {
      return i;
    }
  }
  kinds->emplace_back(device, normalization);
  job->feeds.push_back(std::make_unique<ImageFeed>(
      ImageFeedOptions{.shape = job->samples->sample_shape(),
                       .normalization = normalization,
                       .device = job->devices[device]}));
  return kinds->size() - 1;
}

// The member's own normalisation, or that of the data.
absl::StatusOr<data::Normalization> NormalizationFor(
    const MemberOptions& member, const InferenceModel& model,
    const data::Normalization& of_data) {
  if (!model.description().has_value()) return of_data;
  const data::Normalization& own = model.description()->normalization;
  if (own.mean.empty() && own.stddev.empty()) return of_data;
  const size_t channels = of_data.mean.size();
  if (own.mean.size() != channels || own.stddev.size() != channels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "member \"", member.name, "\": the normalization of ", member.config,
        " has ", own.mean.size(), " means and ", own.stddev.size(),
        " deviations; the data has ", channels, " channels"));
  }
  return own;
}

absl::Status LoadMembers(const data::Normalization& of_data, EnsembleJob* job) {
  const EnsembleOptions& options = job->options();
  std::vector<uint64_t> sizes;
  for (const MemberOptions& member : options.members) {
    sizes.push_back(FileBytes(member));
  }
  const std::vector<size_t> placed = PlaceMembers(sizes, job->devices.size());
  std::vector<std::pair<size_t, data::Normalization>> kinds;
  for (size_t m = 0; m < options.members.size(); ++m) {
    const MemberOptions& member = options.members[m];
    const torch::Device device = job->devices[placed[m]];
    ASSIGN_OR_RETURN(
        std::unique_ptr<InferenceModel> model,
        InferenceModel::Load(member, {.device = device,
                                      .shape = job->samples->sample_shape(),
                                      .mc_dropout = options.mc_samples > 1}));
    ASSIGN_OR_RETURN(const data::Normalization normalization,
                     NormalizationFor(member, *model, of_data));
    const size_t feed = FeedOf(placed[m], normalization, &kinds, job);
    job->members.push_back({.name = member.name,
                            .model = std::move(model),
                            .device = placed[m],
                            .feed = feed});
  }
  return absl::OkStatus();
}

// Names of the first member that has some; INVALID_ARGUMENT: members that
// disagree.
absl::Status AgreeOnClasses(EnsembleJob* job) {
  const PooledMember& first = job->members.front();
  job->classes = first.model->num_classes();
  const PooledMember* named = nullptr;
  for (const PooledMember& member : job->members) {
    if (member.model->num_classes() != job->classes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the members do not fit together: \"", first.name, "\" has ",
          job->classes, " classes, \"", member.name, "\" has ",
          member.model->num_classes(), "; they must have the same"));
    }
    if (!member.model->description().has_value()) continue;
    const std::vector<std::string>& names =
        member.model->description()->class_names;
    if (names.empty()) continue;
    if (named == nullptr) {
      named = &member;
      job->class_names = names;
    } else if (names != job->class_names) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the members do not fit together: the class names that the configs "
          "of \"",
          named->name, "\" and \"", member.name,
          "\" give differ; they must be the same, in the same order"));
    }
  }
  if (job->class_names.size() > static_cast<size_t>(job->classes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("member \"", named->name, "\": its config has ",
                     job->class_names.size(), " class names for ", job->classes,
                     " classes"));
  }
  return absl::OkStatus();
}

absl::Status FitLabels(EnsembleJob* job) {
  const std::vector<std::string>& of_data = job->samples->class_names();
  ASSIGN_OR_RETURN(job->label_of,
                   MatchClasses(of_data, job->class_names, job->classes));
  for (size_t i = 0; i < of_data.size(); ++i) {
    if (job->label_of[i] == kNoLabel) {
      spdlog::warn(
          "the members know no class \"{}\": its samples count as unlabelled",
          of_data[i]);
    }
  }
  if (of_data.empty()) {
    spdlog::info("ensemble.data has no labels: no accuracy, no calibration");
  }
  const bool known = std::find(job->label_of.begin(), job->label_of.end(),
                               kNoLabel) == job->label_of.end();
  if (job->class_names.empty() && known) job->class_names = of_data;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> MatchClasses(
    absl::Span<const std::string> data, absl::Span<const std::string> members,
    int64_t classes) {
  std::vector<int64_t> matched;
  if (members.empty()) {
    if (data.size() > static_cast<size_t>(classes)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "ensemble.data has ", data.size(), " classes, the members have ",
          classes,
          "; a member's config with class names would tell which is which"));
    }
    // "0" is what formats without names call the first class.
    if (data.size() == 1 && classes > 1 && data[0] != "0") {
      return std::vector<int64_t>{kNoLabel};
    }
    for (size_t i = 0; i < data.size(); ++i) {
      matched.push_back(static_cast<int64_t>(i));
    }
    return matched;
  }
  std::map<std::string, int64_t> known;
  for (size_t i = 0; i < members.size(); ++i) {
    known.emplace(members[i], static_cast<int64_t>(i));
  }
  for (const std::string& name : data) {
    const auto found = known.find(name);
    matched.push_back(found == known.end() ? kNoLabel : found->second);
  }
  return matched;
}

std::string EnsembleJob::DeviceText() const {
  return absl::StrJoin(devices, ",",
                       [](std::string* out, const torch::Device& device) {
                         out->append(device.str());
                       });
}

uint64_t EnsembleJob::parameters() const {
  uint64_t sum = 0;
  for (const PooledMember& member : members) {
    sum += static_cast<uint64_t>(member.model->parameters());
  }
  return sum;
}

// On a graphics card kernels run one after the other: one thread feeds it.
std::vector<std::vector<int>> EnsembleJob::Shares() const {
  std::vector<std::vector<int>> shares;
  for (size_t device = 0; device < devices.size(); ++device) {
    const auto on_it = static_cast<size_t>(std::count_if(
        members.begin(), members.end(),
        [device](const auto& one) { return one.device == device; }));
    shares.push_back(devices[device].is_cpu() ? ShareThreads(threads, on_it)
                                              : std::vector<int>{1});
  }
  return shares;
}

absl::StatusOr<std::unique_ptr<EnsembleJob>> PrepareEnsemble(const Spec& spec) {
  auto job = std::make_unique<EnsembleJob>();
  job->spec = spec;
  job->threads = ThreadsOf(spec);
  RETURN_IF_ERROR(SelectDevices(job.get()));
  SetThreads(job->threads);
  absl::StatusOr<data::PredictedPart> part =
      data::OpenForPrediction(job->options().data);
  if (!part.ok()) return WithContext(part.status(), "ensemble.data");
  job->samples = std::move(part->samples);
  RETURN_IF_ERROR(LoadMembers(part->normalization, job.get()));
  RETURN_IF_ERROR(AgreeOnClasses(job.get()));
  RETURN_IF_ERROR(FitLabels(job.get()));
  // The BLAS library has one number for all threads. Those of the pool set
  // their own of LibTorch's.
  SetThreads(job->Shares().front().front());
  const bool drops =
      std::any_of(job->members.begin(), job->members.end(),
                  [](const auto& one) { return one.model->has_dropout(); });
  if (job->options().mc_samples > 1 && !drops) {
    spdlog::warn(
        "mc_samples is {}, but no member has dropout: one pass is made",
        job->options().mc_samples);
  }
  return job;
}

}  // namespace trainyard::runner
