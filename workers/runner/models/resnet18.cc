// ResNet-18 (He et al., "Deep Residual Learning for Image Recognition", 2015)
// with torchvision's parameter names, shapes and initialisation, so that
// weights pass between the two unchanged. Images of one channel are repeated
// to three. Any input of at least 8x8 works; the stem halves it twice.

#include "absl/strings/str_cat.h"
#include "workers/runner/models/architectures.h"

namespace trainyard::runner {
namespace {

namespace nn = torch::nn;

nn::Conv2d Conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  nn::Conv2d conv(nn::Conv2dOptions(in, out, kernel)
                      .stride(stride)
                      .padding(kernel / 2)
                      .bias(false));
  nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
  return conv;
}

class BasicBlock : public nn::Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : conv1_(register_module("conv1", Conv(in, out, 3, stride))),
        bn1_(register_module("bn1", nn::BatchNorm2d(out))),
        conv2_(register_module("conv2", Conv(out, out, 3, 1))),
        bn2_(register_module("bn2", nn::BatchNorm2d(out))) {
    if (stride == 1 && in == out) return;
    downsample_ = register_module(
        "downsample",
        nn::Sequential(Conv(in, out, 1, stride), nn::BatchNorm2d(out)));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = bn1_(conv1_(x)).relu_();
    y = bn2_(conv2_(y));
    y.add_(downsample_.is_empty() ? x : downsample_->forward(x));
    return y.relu_();
  }

 private:
  nn::Conv2d conv1_;
  nn::BatchNorm2d bn1_;
  nn::Conv2d conv2_;
  nn::BatchNorm2d bn2_;
  nn::Sequential downsample_ = nullptr;
};

class ResNet18 : public ImageModel {
 public:
  explicit ResNet18(const ModelPlan& plan)
      : single_value_(plan.input.height <= 32 && plan.input.width <= 32),
        fc_(nn::Linear(512, plan.num_classes)) {
    register_module("fc", fc_);
  }

  torch::Tensor forward(const torch::Tensor& images) override {
    torch::Tensor x =
        images.size(1) == 1 ? images.expand({-1, 3, -1, -1}) : images;
    x = bn1_(conv1_(x)).relu_();
    x = torch::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
    x = layer4_->forward(
        layer3_->forward(layer2_->forward(layer1_->forward(x))));
    return fc_(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }

  int64_t min_training_batch() const override { return single_value_ ? 2 : 1; }

 private:
  nn::Sequential Layer(const char* name, int64_t in, int64_t out,
                       int64_t stride) {
    return register_module(
        name, nn::Sequential(std::make_shared<BasicBlock>(in, out, stride),
                             std::make_shared<BasicBlock>(out, out, 1)));
  }

  // Whether layer4 is down to one pixel.
  const bool single_value_;
  nn::Conv2d conv1_ = register_module("conv1", Conv(3, 64, 7, 2));
  nn::BatchNorm2d bn1_ = register_module("bn1", nn::BatchNorm2d(64));
  nn::Sequential layer1_ = Layer("layer1", 64, 64, 1);
  nn::Sequential layer2_ = Layer("layer2", 64, 128, 2);
  nn::Sequential layer3_ = Layer("layer3", 128, 256, 2);
  nn::Sequential layer4_ = Layer("layer4", 256, 512, 2);
  nn::Linear fc_;
};

}  // namespace

absl::Status CheckResNet18(const ModelPlan& plan) {
  const data::SampleShape& input = plan.input;
  if ((input.channels == 1 || input.channels == 3) && input.height >= 8 &&
      input.width >= 8) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "training.model.architecture is resnet18, which takes samples of 1 or 3 "
      "channels and at least 8x8 pixels, but the data has ",
      input.channels, "x", input.height, "x", input.width));
}

std::shared_ptr<ImageModel> MakeResNet18(const ModelPlan& plan) {
  return std::make_shared<ResNet18>(plan);
}

std::string ResNet18Head(const ModelPlan&) { return "fc."; }

}  // namespace trainyard::runner
