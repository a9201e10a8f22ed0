#include "workers/runner/ensemble/dropout_module.h"

#include <torch/library.h>
#include <torch/script.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;

// Of the Run under way in this thread: operators cannot be handed a generator.
thread_local const at::Generator* current_generator = nullptr;

at::Tensor Dropped(const at::Tensor& x, at::IntArrayRef mask_shape, double p) {
  TORCH_CHECK(current_generator != nullptr,
              "trainyard::dropout outside DropoutModule::Run");
  if (p >= 1) return at::zeros_like(x);
  const at::Tensor mask = at::empty(mask_shape, x.options())
                              .bernoulli_(1 - p, *current_generator)
                              .div_(1 - p);
  return x * mask;
}

at::Tensor DropElements(const at::Tensor& x, double p) {
  return Dropped(x, x.sizes(), p);
}

// Whole channels of whole samples.
at::Tensor DropChannels(const at::Tensor& x, double p) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  for (size_t i = 0; i < 2 && i < shape.size(); ++i) {
    shape[i] = x.size(static_cast<int64_t>(i));
  }
  return Dropped(x, shape, p);
}

// Conservative: no two calls are one, whatever they are given.
TORCH_LIBRARY(trainyard, library) {
  constexpr auto kKind = c10::AliasAnalysisKind::CONSERVATIVE;
  library.def(
      torch::schema("drop_elements(Tensor x, float p) -> Tensor", kKind),
      DropElements);
  library.def(
      torch::schema("drop_channels(Tensor x, float p) -> Tensor", kKind),
      DropChannels);
}

bool IsDropout(const Module& module) {
  const auto name = module.type()->name();
  if (!name || !module.hasattr("training")) return false;
  // Modules of one class with different code are named Dropout___torch_mangle_N
  // in files, but keep the class's name as the last part.
  const std::string& type = name->name();
  for (const char* one : {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d"}) {
    if (type == one || absl::StartsWith(type, absl::StrCat(one, "___"))) {
      return true;
    }
  }
  return false;
}

// aten::dropout, aten::feature_dropout and those that overwrite.
bool Drops(const Node& node, bool* channels, bool* overwrites) {
  const std::string kind = node.kind().toQualString();
  *channels = absl::StartsWith(kind, "aten::feature_dropout");
  *overwrites = kind.back() == '_';
  return *channels || kind == "aten::dropout" || kind == "aten::dropout_";
}

template <typename Visit>
void ForEachNode(Block* block, const Visit& visit) {
  for (auto it = block->nodes().begin(); it != block->nodes().end();) {
    Node* node = *it++;  // before visit may destroy it
    for (Block* inner : node->blocks()) ForEachNode(inner, visit);
    visit(node);
  }
}

// A traced layer has what `training` was, as a constant.
void TurnOn(Module& layer) {
  layer.setattr("training", true);
  const auto method = layer.find_method("forward");
  if (!method) return;
  const std::shared_ptr<Graph> graph = method->graph();
  ForEachNode(graph->block(), [&](Node* node) {
    bool channels = false;
    bool overwrites = false;
    if (!Drops(*node, &channels, &overwrites) ||
        node->input(2)->node()->kind() != c10::prim::Constant) {
      return;
    }
    const torch::jit::WithInsertPoint here(node);
    node->replaceInput(2, graph->insertConstant(true));
  });
}

// Dropout nodes that are on, by the operators above.
void UseOwnOperators(Graph& graph) {
  ForEachNode(graph.block(), [&](Node* node) {
    bool channels = false;
    bool overwrites = false;
    if (!Drops(*node, &channels, &overwrites)) return;
    const auto on = torch::jit::toIValue(node->input(2));
    if (!on || !on->isBool() || !on->toBool()) return;
    const torch::jit::WithInsertPoint here(node);
    torch::jit::Value* dropped = graph.insert(
        c10::Symbol::fromQualString(channels ? "trainyard::drop_channels"
                                             : "trainyard::drop_elements"),
        {node->input(0), node->input(1)});
    if (overwrites) {
      dropped = graph.insert(c10::aten::copy_, {node->input(0), dropped});
    }
    node->output()->replaceAllUsesWith(dropped);
    node->destroy();
  });
}

}  // namespace

bool HasDropout(const Module& module) {
  for (const Module& one : module.modules()) {
    if (IsDropout(one) && (!one.hasattr("p") || one.attr("p").toDouble() > 0)) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<DropoutModule> DropoutModule::Make(const Module& module) {
  auto made = CatchTorch([&]() -> absl::StatusOr<DropoutModule> {
    const Module copy = module.clone();
    for (Module one : copy.modules()) {
      if (IsDropout(one)) TurnOn(one);
    }
    const Module frozen = torch::jit::freeze(copy);
    UseOwnOperators(*frozen.get_method("forward").graph());
    return DropoutModule(frozen);
  });
  if (made.ok()) return made;
  return absl::InvalidArgumentError(
      absl::StrCat("its TorchScript module cannot run with dropout on (",
                   made.status().message(), "); set mc_samples to 1"));
}

at::Tensor DropoutModule::Run(const at::Tensor& batch,
                              const at::Generator& generator) {
  struct Lend {
    explicit Lend(const at::Generator& one) { current_generator = &one; }
    ~Lend() { current_generator = nullptr; }
  } const lend(generator);
  return module_.forward({batch}).toTensor().to(at::kFloat);
}

}  // namespace trainyard::runner
