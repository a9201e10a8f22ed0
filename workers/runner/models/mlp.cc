// A multi-layer perceptron: the image as one long vector, then linear layers
// with ReLU between them. Parameters: layers.0.weight, layers.0.bias,
// layers.1.weight, ... the last of which is the head.

#include <utility>

#include "absl/strings/str_cat.h"
#include "workers/runner/models/architectures.h"

namespace trainyard::runner {
namespace {

// Of the weights of all layers: 4 GiB of fp32.
constexpr int64_t kMostWeights = int64_t{1} << 30;

class Mlp : public ImageModel {
 public:
  explicit Mlp(const ModelPlan& plan) {
    int64_t width = plan.input.size();
    for (const int64_t size : plan.hidden_sizes) {
      layers_->push_back(torch::nn::Linear(width, size));
      width = size;
    }
    layers_->push_back(torch::nn::Linear(width, plan.num_classes));
    register_module("layers", layers_);
  }

  torch::Tensor forward(const torch::Tensor& images) override {
    torch::Tensor x = images.flatten(1);
    for (size_t i = 0; i < layers_->size(); ++i) {
      x = layers_->at<torch::nn::LinearImpl>(i).forward(x);
      if (i + 1 < layers_->size()) x.relu_();
    }
    return x;
  }

 private:
  torch::nn::ModuleList layers_;
};

}  // namespace

absl::Status CheckMlp(const ModelPlan& plan) {
  int64_t width = plan.input.size();
  int64_t weights = 0;
  std::vector<int64_t> sizes = plan.hidden_sizes;
  sizes.push_back(plan.num_classes);
  for (const int64_t size : sizes) {
    weights += width * size;
    width = size;
    if (weights > kMostWeights) {
      return absl::InvalidArgumentError(absl::StrCat(
          "training.model: an mlp with these hidden_sizes for samples of ",
          plan.input.channels, "x", plan.input.height, "x", plan.input.width,
          " has more than ", kMostWeights,
          " weights; take smaller hidden_sizes or a smaller image_size"));
    }
  }
  return absl::OkStatus();
}

std::shared_ptr<ImageModel> MakeMlp(const ModelPlan& plan) {
  return std::make_shared<Mlp>(plan);
}

std::string MlpHead(const ModelPlan& plan) {
  return absl::StrCat("layers.", plan.hidden_sizes.size(), ".");
}

}  // namespace trainyard::runner
