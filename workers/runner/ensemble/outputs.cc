#include "workers/runner/ensemble/outputs.h"

#include <bit>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "spdlog/fmt/fmt.h"
#include "workers/runner/results.h"

namespace trainyard::runner {
namespace {

static_assert(std::endian::native == std::endian::little,
              "npy files are written as the machine has its floats");

// The shortest text that reads back as the same F32.
void AddNumber(double value, std::string* to) {
  fmt::format_to(std::back_inserter(*to), "{}", static_cast<float>(value));
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false,
                                   nlohmann::json::error_handler_t::replace);
}

// RFC 4180.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string ClassName(const PredictedSet& set, int32_t prediction) {
  const auto index = static_cast<size_t>(prediction);
  return index < set.class_names.size() ? set.class_names[index] : "";
}

class JsonlWriter : public PredictionWriter {
 public:
  JsonlWriter(PartFile file, const PredictedSet& set)
      : file_(std::move(file)), set_(set) {}

  absl::Status Append(const PredictedBatch& batch) override {
    for (int64_t i = 0; i < batch.fused.samples; ++i) {
      line_.clear();
      AddLine(batch, static_cast<size_t>(i));
      RETURN_IF_ERROR(file_.Write(line_));
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override { return file_.Finish(); }
  std::vector<std::string> Files() const override { return {kJsonlFile}; }

 private:
  void AddLine(const PredictedBatch& batch, size_t i) {
    const FusedBatch& fused = batch.fused;
    absl::StrAppend(&line_, "{\"index\":", batch.first + i);
    if (!batch.names[i].empty()) {
      absl::StrAppend(&line_, ",\"sample\":", Quoted(batch.names[i]));
    }
    if (batch.labels[i] != kNoLabel) {
      absl::StrAppend(&line_, ",\"label\":", batch.labels[i]);
    }
    absl::StrAppend(&line_, ",\"prediction\":", fused.prediction[i]);
    if (const std::string name = ClassName(set_, fused.prediction[i]);
        !name.empty()) {
      absl::StrAppend(&line_, ",\"class\":", Quoted(name));
    }
    Add("confidence", fused.confidence[i]);
    char before = '[';
    line_ += ",\"probabilities\":";
    for (const double p : fused.row(static_cast<int64_t>(i))) {
      line_ += before;
      AddNumber(p, &line_);
      before = ',';
    }
    line_ += ']';
    const Uncertainty& of = fused.uncertainty[i];
    Add("entropy", of.entropy);
    Add("aleatoric", of.aleatoric);
    Add("epistemic", of.epistemic);
    Add("disagreement", of.disagreement);
    line_ += "}\n";
  }

  void Add(const char* name, double value) {
    absl::StrAppend(&line_, ",\"", name, "\":");
    AddNumber(value, &line_);
  }

  PartFile file_;
  const PredictedSet set_;
  std::string line_;
};

class CsvWriter : public PredictionWriter {
 public:
  static std::string Header(const PredictedSet& set) {
    std::string header =
        "index,sample,label,prediction,class,confidence,entropy,aleatoric,"
        "epistemic,disagreement";
    for (int64_t c = 0; HasProbabilities(set) && c < set.classes; ++c) {
      absl::StrAppend(&header, ",probability_", c);
    }
    return header + "\r\n";
  }

  CsvWriter(PartFile file, const PredictedSet& set)
      : file_(std::move(file)), set_(set) {}

  absl::Status Append(const PredictedBatch& batch) override {
    for (size_t i = 0; i < batch.labels.size(); ++i) {
      const FusedBatch& fused = batch.fused;
      const Uncertainty& of = fused.uncertainty[i];
      const uint64_t index = batch.first + i;
      line_ = absl::StrCat(index, ",", CsvField(batch.names[i]));
      // A sample without a file of its own is known by its place.
      if (batch.names[i].empty()) absl::StrAppend(&line_, index);
      line_ += ',';
      if (batch.labels[i] != kNoLabel) absl::StrAppend(&line_, batch.labels[i]);
      absl::StrAppend(&line_, ",", fused.prediction[i], ",",
                      CsvField(ClassName(set_, fused.prediction[i])));
      for (const double value : {fused.confidence[i], of.entropy, of.aleatoric,
                                 of.epistemic, of.disagreement}) {
        line_ += ',';
        AddNumber(value, &line_);
      }
      if (HasProbabilities(set_)) AddProbabilities(fused, i);
      line_ += "\r\n";
      RETURN_IF_ERROR(file_.Write(line_));
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override { return file_.Finish(); }
  std::vector<std::string> Files() const override { return {kCsvFile}; }

 private:
  static bool HasProbabilities(const PredictedSet& set) {
    return set.classes <= kMaxCsvClasses;
  }

  void AddProbabilities(const FusedBatch& fused, size_t i) {
    for (const double p : fused.row(static_cast<int64_t>(i))) {
      line_ += ',';
      AddNumber(p, &line_);
    }
  }

  PartFile file_;
  const PredictedSet set_;
  std::string line_;
};

class NpyWriter : public PredictionWriter {
 public:
  NpyWriter(PartFile probabilities, PartFile uncertainty)
      : probabilities_(std::move(probabilities)),
        uncertainty_(std::move(uncertainty)) {}

  absl::Status Append(const PredictedBatch& batch) override {
    const FusedBatch& fused = batch.fused;
    row_.assign(fused.probabilities.begin(), fused.probabilities.end());
    RETURN_IF_ERROR(WriteRow(&probabilities_));
    row_.clear();
    for (const Uncertainty& of : fused.uncertainty) {
      for (const double value :
           {of.entropy, of.aleatoric, of.epistemic, of.disagreement}) {
        row_.push_back(static_cast<float>(value));
      }
    }
    return WriteRow(&uncertainty_);
  }
  absl::Status Finish() override {
    RETURN_IF_ERROR(probabilities_.Finish());
    return uncertainty_.Finish();
  }
  std::vector<std::string> Files() const override {
    return {kProbabilitiesFile, kUncertaintyFile};
  }

 private:
  absl::Status WriteRow(PartFile* file) const {
    return file->Write(
        absl::string_view(reinterpret_cast<const char*>(row_.data()),
                          row_.size() * sizeof(float)));
  }

  PartFile probabilities_;
  PartFile uncertainty_;
  std::vector<float> row_;
};

absl::StatusOr<std::unique_ptr<PredictionWriter>> MakeWriter(
    const std::string& folder, OutputFormat format, const PredictedSet& set) {
  const auto open = [&folder](
                        const char* name,
                        const std::string& header) -> absl::StatusOr<PartFile> {
    ASSIGN_OR_RETURN(PartFile file,
                     PartFile::Create(absl::StrCat(folder, "/", name)));
    RETURN_IF_ERROR(file.Write(header));
    return file;
  };
  switch (format) {
    case OutputFormat::kJsonl: {
      ASSIGN_OR_RETURN(PartFile file, open(kJsonlFile, ""));
      return std::make_unique<JsonlWriter>(std::move(file), set);
    }
    case OutputFormat::kCsv: {
      ASSIGN_OR_RETURN(PartFile file, open(kCsvFile, CsvWriter::Header(set)));
      return std::make_unique<CsvWriter>(std::move(file), set);
    }
    case OutputFormat::kNpy: {
      const auto classes = static_cast<uint64_t>(set.classes);
      ASSIGN_OR_RETURN(
          PartFile probabilities,
          open(kProbabilitiesFile, NpyHeader(set.samples, classes)));
      ASSIGN_OR_RETURN(PartFile uncertainty,
                       open(kUncertaintyFile, NpyHeader(set.samples, 4)));
      return std::make_unique<NpyWriter>(std::move(probabilities),
                                         std::move(uncertainty));
    }
  }
  return absl::InternalError("an output of unknown format");
}

}  // namespace

absl::StatusOr<PredictionFiles> PredictionFiles::Create(
    const std::string& folder, const std::vector<OutputFormat>& formats,
    const PredictedSet& set) {
  PredictionFiles files;
  for (const OutputFormat format : formats) {
    ASSIGN_OR_RETURN(auto writer, MakeWriter(folder, format, set));
    files.writers_.push_back(std::move(writer));
  }
  return files;
}

absl::Status PredictionFiles::Append(const PredictedBatch& batch) {
  for (const auto& writer : writers_) RETURN_IF_ERROR(writer->Append(batch));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PredictionFiles::Finish() {
  std::vector<std::string> names;
  for (const auto& writer : writers_) {
    RETURN_IF_ERROR(writer->Finish());
    for (std::string& name : writer->Files()) names.push_back(std::move(name));
  }
  return names;
}

std::string NpyHeader(uint64_t rows, uint64_t columns) {
  // What comes before the array's bytes is a multiple of this.
  constexpr size_t kAlignment = 64;
  constexpr size_t kPrefix = 10;
  std::string description =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows,
                   ", ", columns, "), }");
  const size_t used = kPrefix + description.size() + 1;
  description.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  description += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(description.size() & 0xFF);
  header += static_cast<char>(description.size() >> 8);
  return header + description;
}

}  // namespace trainyard::runner
