#include "workers/runner/ensemble/ensemble_report.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "workers/runner/run_point.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

void AddCalibration(const Calibration& of, Json* to) {
  if (of.samples() == 0) return;
  (*to)["accuracy"] = of.accuracy();
  (*to)["nll"] = of.nll();
  (*to)["brier"] = of.brier();
  (*to)["ece"] = of.ece();
}

Json MemberReport(const EnsembleJob& job, const MemberPool& pool, size_t m,
                  const EnsembleFigures& figures) {
  const PooledMember& member = job.members[m];
  const MemberOptions& options = job.options().members[m];
  const double seconds = pool.forward_seconds(m);
  Json report = {
      {"name", member.name},
      {"architecture", options.torchscript.empty() ? options.model.architecture
                                                   : "torchscript"},
      {"parameters", member.model->parameters()},
      {"model_mb", static_cast<double>(member.model->bytes()) / 1e6},
      {"device", job.devices[member.device].str()},
      {"weight", options.weight},
      {"passes", pool.passes(m)},
      {"forward_seconds", seconds}};
  if (seconds > 0) {
    report["samples_per_second"] =
        static_cast<double>(figures.samples) / seconds;
  }
  AddCalibration(figures.members[m], &report);
  return report;
}

Json MeanUncertainty(const EnsembleFigures& figures) {
  const auto samples = static_cast<double>(figures.samples);
  const Uncertainty& sum = figures.uncertainty;
  return {{"entropy", sum.entropy / samples},
          {"aleatoric", sum.aleatoric / samples},
          {"epistemic", sum.epistemic / samples},
          {"disagreement", sum.disagreement / samples}};
}

Json Formulas(FusionRule rule) {
  const char* fusion = "";
  switch (rule) {
    case FusionRule::kMean:
      fusion = "mean of the members' probabilities";
      break;
    case FusionRule::kVote:
      fusion = "majority vote; higher mean probability between equals";
      break;
    case FusionRule::kWeighted:
      fusion = "mean weighted by the members' weight";
      break;
    case FusionRule::kUncertainty:
      fusion = "mean weighted by 1 / (predictive entropy + epsilon)";
      break;
  }
  Json formulas = {
      {"fusion", fusion},
      {"entropy", "predictive entropy H[p], nats"},
      {"aleatoric", "expected entropy over members and passes, nats"},
      {"epistemic", "mutual information: entropy - aleatoric, nats"},
      {"disagreement", "share of members with another argmax"},
      {"dropout", "MC dropout (Gal & Ghahramani, 2016)"},
      {"ece", absl::StrCat("expected calibration error, ", Calibration::kBins,
                           " equal-width bins (Guo et al., 2017)")},
      {"brier", "sum over classes of squared errors (Brier, 1950)"}};
  if (rule == FusionRule::kUncertainty) formulas["epsilon"] = kEntropyEpsilon;
  return formulas;
}

}  // namespace

Json EnsembleReport(const EnsembleJob& job, const MemberPool& pool,
                    const EnsembleFigures& figures, const Meter& meter) {
  const EnsembleOptions& options = job.options();
  Json members = Json::array();
  double forward_seconds = 0;
  uint64_t bytes = 0;
  for (size_t m = 0; m < job.members.size(); ++m) {
    members.push_back(MemberReport(job, pool, m, figures));
    forward_seconds += pool.forward_seconds(m);
    bytes += static_cast<uint64_t>(job.members[m].model->bytes());
  }
  Json report = {{"job", job.spec.job},
                 {"attempt", job.spec.attempt},
                 {"members", std::move(members)},
                 {"fusion", Name(options.fusion)},
                 {"mc_samples", options.mc_samples},
                 {"batch_size", options.batch_size},
                 {"seed", options.seed},
                 {"device", job.DeviceText()},
                 {"threads", job.threads},
                 {"members_at_once", pool.threads()},
                 {"batches_at_once", pool.peak_in_flight()},
                 {"parameters", job.parameters()},
                 {"model_mb", static_cast<double>(bytes) / 1e6},
                 {"classes", job.classes},
                 {"samples", figures.samples},
                 {"labelled_samples", figures.fused.samples()},
                 {"steps", figures.batches},
                 {"total_seconds", meter.total_seconds()},
                 {"seconds",
                  {{"data_wait", figures.wait_seconds},
                   {"feed", figures.feed_seconds},
                   {"forward", forward_seconds},
                   {"fuse", figures.fuse_seconds},
                   {"write", figures.write_seconds}}},
                 {"mean_uncertainty", MeanUncertainty(figures)},
                 {"formulas", Formulas(options.fusion)}};
  AddCalibration(figures.fused, &report);
  AddTotals(meter, job.devices, &report);
  return report;
}

}  // namespace trainyard::runner
