#include "workers/runner/options.h"

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/nearest.h"

namespace trainyard::runner {
namespace {

constexpr int kLargestDescriptor = 1 << 20;

absl::Status ParseDescriptor(const std::string& name, const std::string& text,
                             int lowest, int* to) {
  if (absl::SimpleAtoi(text, to) && *to >= lowest &&
      *to <= kLargestDescriptor) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is \"", text, "\"; it must be an open descriptor's ", "number"));
}

}  // namespace

const char* UsageText() {
  return "trainyard-runner: works on one attempt of a job "
         "(docs/runner_protocol.md)\n"
         "\n"
         "  trainyard-runner --spec FILE [--events-fd 3] [--commands-fd 4]\n"
         "  trainyard-runner --predict --model-dir DIR --input FILE "
         "--output FILE\n"
         "  trainyard-runner --version\n"
         "\n"
         "By hand: --events-fd 1 --commands-fd -1 (no commands).\n"
         "Exit status: 0 finished or stopped, 1 failed, 2 wrong use.\n";
}

absl::StatusOr<Options> ParseOptions(
    const std::vector<std::string>& arguments) {
  Options options;
  std::string events;
  std::string commands;
  const std::map<std::string, std::string*> valued = {
      {"--spec", &options.spec},
      {"--events-fd", &events},
      {"--commands-fd", &commands},
      {"--model-dir", &options.predict.model_dir},
      {"--input", &options.predict.input},
      {"--output", &options.predict.output}};
  const std::map<std::string, Mode> modes = {{"--predict", Mode::kPredict},
                                             {"--version", Mode::kVersion},
                                             {"--help", Mode::kHelp},
                                             {"-h", Mode::kHelp}};
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    if (const auto mode = modes.find(name);
        mode != modes.end() && equals == std::string::npos) {
      options.mode = mode->second;
      continue;
    }
    const auto value = valued.find(name);
    if (value == valued.end()) {
      std::vector<std::string> known;
      for (const auto& [one, unused] : valued) known.push_back(one);
      for (const auto& [one, unused] : modes) known.push_back(one);
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", name, "\" is not an option", Suggestion(name, known)));
    }
    if (equals == std::string::npos && i + 1 >= arguments.size()) {
      return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
    }
    *value->second = equals == std::string::npos
                         ? arguments[++i]
                         : arguments[i].substr(equals + 1);
  }
  if (!events.empty()) {
    RETURN_IF_ERROR(
        ParseDescriptor("--events-fd", events, 0, &options.events_fd));
  }
  if (!commands.empty()) {
    RETURN_IF_ERROR(
        ParseDescriptor("--commands-fd", commands, -1, &options.commands_fd));
  }
  const PredictOptions& predict = options.predict;
  if (options.mode == Mode::kRun && options.spec.empty()) {
    return absl::InvalidArgumentError("--spec FILE is missing");
  }
  if (options.mode == Mode::kPredict &&
      (predict.model_dir.empty() || predict.input.empty() ||
       predict.output.empty())) {
    return absl::InvalidArgumentError(
        "--predict needs --model-dir, --input and --output");
  }
  return options;
}

}  // namespace trainyard::runner
