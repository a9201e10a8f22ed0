#include "bench/scheduler/submitter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::bench {
namespace {

constexpr int kBatch = 1000;

absl::Status ToStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("a submit failed with code ",
                                             status.error_code(), ": ",
                                             status.error_message()));
}

}  // namespace

// Small, and with a request_id as every careful client sends one.
void Submitter::Fill(v1::SubmitJobRequest* request, int users) {
  ++last_;
  request->set_request_id(absl::StrCat("bench-", last_));
  v1::JobSpec& spec = *request->mutable_spec();
  spec.set_name("bench");
  spec.set_user(
      absl::StrCat("user-", last_ % static_cast<uint64_t>(std::max(users, 1))));
  v1::DeviceRequest& device = *spec.mutable_resources()->add_devices();
  device.set_kind(v1::DEVICE_KIND_CUDA);
  device.set_count(1);
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_model()->set_architecture("mnist_cnn");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training.mutable_data()->mutable_source()->set_path("/data/glyphs");
  training.set_epochs(3);
}

absl::Status Submitter::SubmitOne() {
  grpc::ClientContext context;
  v1::SubmitJobRequest request;
  v1::SubmitJobResponse response;
  Fill(&request, 1);
  return ToStatus(stub_->SubmitJob(&context, request, &response));
}

absl::Status Submitter::SubmitMany(int jobs, int users) {
  while (jobs > 0) {
    grpc::ClientContext context;
    v1::BatchSubmitJobsRequest request;
    v1::BatchSubmitJobsResponse response;
    const int batch = std::min(jobs, kBatch);
    for (int i = 0; i < batch; ++i) Fill(request.add_requests(), users);
    if (const auto status =
            stub_->BatchSubmitJobs(&context, request, &response);
        !status.ok()) {
      return ToStatus(status);
    }
    for (const v1::BatchSubmitJobsResult& result : response.results()) {
      if (result.code() != 0) return absl::InternalError(result.message());
    }
    jobs -= batch;
  }
  return absl::OkStatus();
}

}  // namespace trainyard::bench
