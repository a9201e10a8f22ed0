#include "workers/runner/testing.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "workers/runner/data/prng.h"
#include "workers/runner/ensemble/ensemble_loop.h"

namespace trainyard::runner {
namespace {

using nlohmann::json;

constexpr uint32_t kSide = 28;
constexpr int kClasses = 4;

void WritePart(const data::TempFolder& folder, const std::string& prefix,
               uint32_t samples, uint64_t seed) {
  data::Prng prng(seed);
  std::string pixels;
  std::string labels;
  for (uint32_t i = 0; i < samples; ++i) {
    const int label = static_cast<int>(i % kClasses);
    labels.push_back(static_cast<char>(label));
    for (uint32_t y = 0; y < kSide; ++y) {
      for (uint32_t x = 0; x < kSide; ++x) {
        const int quadrant = (y < kSide / 2 ? 0 : 2) + (x < kSide / 2 ? 0 : 1);
        const uint64_t light = quadrant == label ? 90 : 0;
        pixels.push_back(static_cast<char>(light + prng.Below(160)));
      }
    }
  }
  folder.Write(prefix + "-images-idx3-ubyte",
               data::IdxBytes(0x803, {samples, kSide, kSide}, pixels));
  folder.Write(prefix + "-labels-idx1-ubyte",
               data::IdxBytes(0x801, {samples}, labels));
}

std::vector<json> OfKind(const std::vector<json>& all,
                         const std::string& event) {
  std::vector<json> some;
  for (const json& one : all) {
    if (one.at("event") == event) some.push_back(one);
  }
  return some;
}

}  // namespace

void WriteQuadrants(const data::TempFolder& folder, uint32_t train_samples,
                    uint32_t test_samples) {
  WritePart(folder, "data/train", train_samples, 1);
  WritePart(folder, "data/t10k", test_samples, 2);
}

Spec QuadrantsSpec(const data::TempFolder& folder, const std::string& work,
                   const std::string& architecture) {
  Spec spec;
  spec.job = 17;
  spec.attempt = 1;
  spec.work_dir = absl::StrCat(folder.path(), "/", work);
  mkdir(spec.work_dir.c_str(), 0777);
  // Threads that wait for each other are slow beside other tests.
  spec.device.threads = 1;
  TrainingOptions& training = spec.training;
  training.model.architecture = architecture;
  training.data.path = folder.path() + "/data";
  training.optimizer.learning_rate = 0.02;
  training.optimizer.momentum = 0.9;
  training.batch_size = 16;
  training.epochs = 2;
  training.seed = 5;
  training.checkpoint.every_seconds = 0;
  return spec;
}

std::vector<json> KeptEvents::Of(const std::string& event) const {
  return OfKind(all_, event);
}

absl::Status KeptEvents::WriteLine(absl::string_view line, absl::Duration) {
  all_.push_back(json::parse(line.begin(), line.end()));
  if (on_event_) on_event_(all_.back());
  return absl::OkStatus();
}

std::vector<json> TestRun::Of(const std::string& event) const {
  return OfKind(events, event);
}

std::vector<double> TestRun::Losses() const {
  std::vector<double> losses;
  for (const json& point : Of("metrics")) {
    if (point.contains("loss")) losses.push_back(point["loss"]);
  }
  return losses;
}

TestRun RunSpec(const Spec& spec, uint64_t stop_at) {
  SteppingClock clock;
  Mailbox mailbox;
  KeptEvents events([&](const json& event) {
    if (stop_at > 0 && event["event"] == "metrics" &&
        event["step"] == stop_at) {
      mailbox.AskToStop();
    }
  });
  const RunPorts ports = {
      .clock = &clock, .events = &events, .mailbox = &mailbox};
  absl::StatusOr<RunEnd> end =
      spec.ensemble.has_value() ? RunEnsemble(spec, ports) : Train(spec, ports);
  return {.end = end, .events = events.all()};
}

std::string FileContent(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace trainyard::runner
