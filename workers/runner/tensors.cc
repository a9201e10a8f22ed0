#include "workers/runner/tensors.h"

#include <torch/nn/module.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trainyard::runner {
namespace {

using data::DType;

constexpr size_t kMostListed = 4;

torch::ScalarType ScalarTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return torch::kFloat64;
    case DType::kF32:
      return torch::kFloat32;
    case DType::kF16:
      return torch::kFloat16;
    case DType::kBF16:
      return torch::kBFloat16;
    case DType::kI64:
      return torch::kInt64;
    case DType::kI32:
      return torch::kInt32;
    case DType::kI16:
      return torch::kInt16;
    case DType::kI8:
      return torch::kInt8;
    case DType::kU8:
      return torch::kUInt8;
    case DType::kBool:
      return torch::kBool;
  }
  return torch::kFloat32;
}

DType DTypeOf(torch::ScalarType type) {
  switch (type) {
    case torch::kFloat64:
      return DType::kF64;
    case torch::kFloat32:
      return DType::kF32;
    case torch::kFloat16:
      return DType::kF16;
    case torch::kBFloat16:
      return DType::kBF16;
    case torch::kInt64:
      return DType::kI64;
    case torch::kInt32:
      return DType::kI32;
    case torch::kInt16:
      return DType::kI16;
    case torch::kInt8:
      return DType::kI8;
    case torch::kUInt8:
      return DType::kU8;
    case torch::kBool:
      return DType::kBool;
    default:
      TORCH_CHECK(false, "safetensors has no type for ", type);
  }
}

std::string ShapeText(torch::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// What is wrong between a file and a state, in words.
class Misfits {
 public:
  void Add(std::string one) {
    if (++count_ <= kMostListed) listed_.push_back(std::move(one));
  }
  absl::Status ToStatus() const {
    if (count_ == 0) return absl::OkStatus();
    std::string text = absl::StrJoin(listed_, "; ");
    if (count_ > kMostListed) {
      absl::StrAppend(&text, "; and ", count_ - kMostListed, " more");
    }
    return absl::InvalidArgumentError(text);
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> listed_;
};

bool TypeFits(Fit fit, torch::ScalarType file, torch::ScalarType state) {
  return file == state ||
         (fit == Fit::kWeights && torch::isFloatingType(file) &&
          torch::isFloatingType(state));
}

void CheckOne(const std::string& name, const data::TensorView& view, Fit fit,
              const torch::Tensor& tensor, Misfits* misfits) {
  if (torch::IntArrayRef(view.shape) != tensor.sizes()) {
    misfits->Add(absl::StrCat(name, " is ", ShapeText(view.shape),
                              " in the file, ", ShapeText(tensor.sizes()),
                              " here"));
  } else if (!TypeFits(fit, ScalarTypeOf(view.dtype), tensor.scalar_type())) {
    misfits->Add(absl::StrCat(
        name, " is ", data::DTypeName(view.dtype), " in the file, ",
        data::DTypeName(DTypeOf(tensor.scalar_type())), " here"));
  }
}

bool MayBeMissing(Fit fit, const std::string& name) {
  return fit == Fit::kWeights && absl::EndsWith(name, ".num_batches_tracked");
}

}  // namespace

NamedTensors StateOf(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& item : module.named_parameters()) {
    state[item.key()] = item.value().detach();
  }
  for (const auto& item : module.named_buffers()) {
    state[item.key()] = item.value();
  }
  return state;
}

void TensorFileContent::Add(const std::string& prefix,
                            const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    kept_.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const torch::Tensor& bytes = kept_.back();
    views_[prefix + name] = {
        .dtype = DTypeOf(bytes.scalar_type()),
        .shape = bytes.sizes().vec(),
        .data = static_cast<const std::byte*>(bytes.data_ptr()),
        .size = bytes.nbytes()};
  }
}

torch::Tensor ToTensor(const data::TensorView& view) {
  torch::Tensor tensor = torch::empty(
      view.shape, torch::TensorOptions().dtype(ScalarTypeOf(view.dtype)));
  if (view.size > 0) std::memcpy(tensor.data_ptr(), view.data, view.size);
  return tensor;
}

absl::Status LoadState(const data::TensorMap& file, const std::string& prefix,
                       Fit fit, NamedTensors* state) {
  Misfits misfits;
  for (const auto& [name, tensor] : *state) {
    const auto found = file.find(prefix + name);
    if (found != file.end()) {
      CheckOne(found->first, found->second, fit, tensor, &misfits);
    } else if (!MayBeMissing(fit, name)) {
      misfits.Add(absl::StrCat(prefix, name, " is missing in the file"));
    }
  }
  for (const auto& [name, view] : file) {
    if (absl::StartsWith(name, prefix) &&
        state->find(name.substr(prefix.size())) == state->end()) {
      misfits.Add(absl::StrCat(name, " is in the file but not known here"));
    }
  }
  if (absl::Status fits = misfits.ToStatus(); !fits.ok()) return fits;
  for (auto& [name, tensor] : *state) {
    const auto found = file.find(prefix + name);
    if (found != file.end()) tensor.copy_(ToTensor(found->second));
  }
  return absl::OkStatus();
}

}  // namespace trainyard::runner
