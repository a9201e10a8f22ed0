#include "server/rpc/resolve_inputs.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/rpc/test_server.h"

namespace trainyard::rpc {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string Name(char digit) { return "sha256:" + std::string(64, digit); }

class ResolveInputsTest : public ServerTest {
 protected:
  void Store(const std::string& artifact) {
    auto writer = blobs_.Resume(artifact, 1, "");
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append(0, "x").ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  // Runs what waits to its end; the outputs are in the store.
  void Finish(const std::vector<std::pair<std::string, char>>& outputs,
              v1::Attempt::Outcome outcome = v1::Attempt::OUTCOME_SUCCEEDED) {
    TestWorker worker(workers_.get(), "attic");
    ASSERT_TRUE(worker.Report());
    ASSERT_TRUE(worker.ReadUntilAttempt());
    worker.Take();
    ASSERT_TRUE(worker.Report());
    v1::AttemptStatus* status = worker.Take();
    status->set_phase(v1::AttemptStatus::PHASE_ENDED);
    status->set_outcome(outcome);
    if (outcome == v1::Attempt::OUTCOME_FAILED) {
      status->mutable_failure()->set_category(v1::Failure::CATEGORY_USER_ERROR);
      status->mutable_failure()->set_message("no data");
    }
    for (const auto& [name, digit] : outputs) {
      v1::Output* output = status->add_outputs();
      output->set_name(name);
      output->set_artifact(Name(digit));
      output->set_size_bytes(1);
      Store(Name(digit));
    }
    ASSERT_TRUE(worker.Report());
    ASSERT_TRUE(worker.ReadUntilEmpty());
  }

  // A training job that left a model.
  void Train() {
    v1::JobSpec spec = TestSpec();
    spec.mutable_training()->mutable_model()->add_hidden_sizes(32);
    Submit(spec);
    Finish({{"report.json", 'c'},
            {"model.json", 'a'},
            {"model.safetensors", 'b'}});
  }

  grpc::Status TrySubmit(const v1::JobSpec& spec, bool dry_run = false) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = spec;
    request.set_dry_run(dry_run);
    v1::SubmitJobResponse response;
    return jobs_->SubmitJob(TestContext().get(), request, &response);
  }
};

v1::JobSpec EnsembleOf(const std::string& job) {
  v1::JobSpec spec;
  v1::EnsembleInferenceSpec* ensemble = spec.mutable_ensemble();
  ensemble->add_members()->set_job(job);
  ensemble->mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  ensemble->mutable_data()->mutable_source()->set_path("/data/mnist");
  spec.mutable_resources()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  return spec;
}

TEST_F(ResolveInputsTest, AMemberIsTheModelThatAJobLeft) {
  Train();
  const v1::Job job = Submit(EnsembleOf("jobs/1"));
  EXPECT_EQ(job.name(), "jobs/2");
  for (const v1::Job& one : {job, Get("jobs/2")}) {
    const v1::EnsembleMember& member = one.spec().ensemble().members(0);
    EXPECT_EQ(member.job(), "jobs/1");
    EXPECT_EQ(member.model().architecture(), "mlp");
    EXPECT_EQ(member.model().hidden_sizes(0), 32u);
    EXPECT_EQ(member.model().weights().artifact(), Name('b'));
    EXPECT_EQ(member.config().artifact(), Name('a'));
  }
  // What the server filled in may be submitted again, another model not.
  v1::JobSpec again = job.spec();
  EXPECT_EQ(Submit(again).name(), "jobs/3");
  again.mutable_ensemble()
      ->mutable_members(0)
      ->mutable_model()
      ->set_architecture("resnet18");
  const grpc::Status status = TrySubmit(again);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              StartsWith("ensemble.members[0].model: given beside job"));
}

TEST_F(ResolveInputsTest, AWorkerGetsTheMembersFiles) {
  Train();
  Submit(EnsembleOf("jobs/1"));
  TestWorker worker(workers_.get(), "attic");
  ASSERT_TRUE(worker.Report());
  ASSERT_TRUE(worker.ReadUntilAttempt());
  const v1::JobSpec& spec = worker.desired.attempts(0).spec();
  EXPECT_EQ(spec.ensemble().members(0).model().weights().artifact(), Name('b'));
}

TEST_F(ResolveInputsTest, SaysWhatIsWrongWithAJob) {
  const grpc::Status unknown = TrySubmit(EnsembleOf("jobs/1"));
  EXPECT_EQ(unknown.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(unknown.error_message(),
              StartsWith("ensemble.members[0].job: jobs/1 does not exist"));
  const auto refusal = [&](const std::string& job) {
    const grpc::Status status = TrySubmit(EnsembleOf(job));
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
    return status.error_message();
  };
  Submit(TestSpec());
  EXPECT_THAT(refusal("jobs/1"),
              AllOf(StartsWith("ensemble.members[0].job: jobs/1 is queued"),
                    HasSubstr("trainctl watch jobs/1")));
  Finish({}, v1::Attempt::OUTCOME_FAILED);
  EXPECT_THAT(refusal("jobs/1"), HasSubstr("jobs/1 failed and left no model"));
  Submit(TestSpec());
  Finish({{"model.safetensors", 'b'}});
  EXPECT_THAT(refusal("jobs/2"), HasSubstr("jobs/2 left no model.json"));
  Train();
  Submit(EnsembleOf("jobs/3"));
  EXPECT_THAT(refusal("jobs/4"), HasSubstr("jobs/4 trains no model"));
}

TEST_F(ResolveInputsTest, EveryArtifactMustBeThere) {
  v1::JobSpec spec = EnsembleOf("jobs/1");
  v1::EnsembleMember* member = spec.mutable_ensemble()->mutable_members(0);
  member->clear_job();
  member->mutable_torchscript()->set_artifact(Name('d'));
  member->mutable_config()->set_artifact(Name('e'));
  const auto missing = [&](const std::string& where) {
    const grpc::Status status = TrySubmit(spec);
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), StartsWith(where));
  };
  missing("ensemble.members[0].torchscript.artifact: " + Name('d'));
  Store(Name('d'));
  missing("ensemble.members[0].config.artifact: " + Name('e'));
  Store(Name('e'));
  spec.mutable_ensemble()->mutable_data()->mutable_source()->set_artifact(
      Name('f'));
  missing("ensemble.data.source.artifact: " + Name('f'));
  Store(Name('f'));
  EXPECT_EQ(Submit(spec).name(), "jobs/1");
}

TEST_F(ResolveInputsTest, OnlyADryRunTakesUploadsAndLooksAtTheRest) {
  v1::JobSpec training = TestSpec();
  training.mutable_training()->mutable_data()->mutable_source()->set_upload(
      "./glyphs");
  v1::JobSpec ensemble = EnsembleOf("jobs/1");
  *ensemble.mutable_ensemble()->mutable_data()->mutable_source() =
      training.training().data().source();
  for (const auto& [spec, field] :
       {std::pair{training, "training"}, std::pair{ensemble, "ensemble"}}) {
    const grpc::Status status = TrySubmit(spec);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << field;
    EXPECT_THAT(status.error_message(),
                StartsWith(std::string(field) +
                           ".data.source.upload: \"./glyphs\": a server "
                           "cannot read it"));
  }
  EXPECT_TRUE(TrySubmit(training, /*dry_run=*/true).ok());
  const grpc::Status status = TrySubmit(ensemble, /*dry_run=*/true);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), StartsWith("ensemble.members[0].job"));
  Train();
  EXPECT_TRUE(TrySubmit(ensemble, /*dry_run=*/true).ok());
}

TEST_F(ResolveInputsTest, ARepeatedRequestGivesTheSameEnsemble) {
  Train();
  const v1::Job job = Submit(EnsembleOf("jobs/1"), "r");
  EXPECT_EQ(Submit(EnsembleOf("jobs/1"), "r").name(), job.name());
  EXPECT_EQ(Submit(job.spec(), "r").name(), job.name());
}

TEST_F(ResolveInputsTest, ABatchResolvesEachOfItsJobs) {
  Train();
  v1::BatchSubmitJobsRequest request;
  *request.add_requests()->mutable_spec() = EnsembleOf("jobs/1");
  *request.add_requests()->mutable_spec() = EnsembleOf("jobs/77");
  v1::BatchSubmitJobsResponse response;
  ASSERT_TRUE(
      jobs_->BatchSubmitJobs(TestContext().get(), request, &response).ok());
  EXPECT_EQ(response.results(0).job(), "jobs/2");
  EXPECT_EQ(response.results(1).code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(response.results(1).message(), HasSubstr("jobs/77"));
  EXPECT_EQ(Get("jobs/2").spec().ensemble().members(0).config().artifact(),
            Name('a'));
}

}  // namespace
}  // namespace trainyard::rpc
