// One model of an ensemble as the spec asks for it; plain options, every
// default filled in. Exactly one of model and torchscript is given.
#pragma once

#include <string>

#include "workers/runner/model_options.h"

namespace trainyard::runner {

struct MemberOptions {
  std::string name;
  ModelOptions model;       // built-in; its weights are required
  std::string torchscript;  // path of a TorchScript module; empty: built-in
  std::string config;       // path of a model.json; empty: none
  double weight = 1;        // for the weighted mean
};

}  // namespace trainyard::runner
