#include "server/rpc/job_service.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/health_check_service_interface.h"
#include "gtest/gtest.h"
#include "server/rpc/test_server.h"

namespace trainyard::rpc {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class JobServiceTest : public ServerTest {
 protected:
  grpc::Status TrySubmit(const v1::SubmitJobRequest& request) {
    v1::SubmitJobResponse response;
    return jobs_->SubmitJob(TestContext().get(), request, &response);
  }

  grpc::Status Cancel(const std::string& name, v1::Job* job) {
    v1::CancelJobRequest request;
    request.set_name(name);
    request.set_reason("a typo");
    v1::CancelJobResponse response;
    const auto status =
        jobs_->CancelJob(TestContext().get(), request, &response);
    *job = response.job();
    return status;
  }

  std::vector<std::string> List(const v1::ListJobsRequest& request,
                                std::string* token = nullptr) {
    v1::ListJobsResponse response;
    const auto status =
        jobs_->ListJobs(TestContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (token != nullptr) *token = response.next_page_token();
    std::vector<std::string> names;
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    return names;
  }
};

TEST_F(JobServiceTest, SubmittedJobIsQueuedCompleteAndDurable) {
  const v1::Job job = Submit(TestSpec());
  EXPECT_EQ(job.name(), "jobs/1");
  EXPECT_EQ(job.state(), v1::Job::STATE_QUEUED);
  EXPECT_GT(job.revision(), 0u);
  EXPECT_GT(job.submit_time().seconds(), 0);
  EXPECT_EQ(job.spec().training().epochs(), 1u);
  Restart();
  const v1::Job again = Get("jobs/1");
  EXPECT_EQ(again.spec().SerializeAsString(), job.spec().SerializeAsString());
  EXPECT_EQ(again.submit_time().seconds(), job.submit_time().seconds());
}

TEST_F(JobServiceTest, TheSameRequestIdGivesTheSameJobAlsoAfterARestart) {
  v1::JobSpec spec = TestSpec();
  (*spec.mutable_labels())["a"] = "1";
  (*spec.mutable_labels())["b"] = "2";
  (*spec.mutable_labels())["c"] = "3";
  const v1::Job first = Submit(spec, "request-1");
  EXPECT_EQ(Submit(spec, "request-1").name(), first.name());
  // With what the server filled in it is the same.
  EXPECT_EQ(Submit(first.spec(), "request-1").name(), first.name());
  v1::Job ended;
  ASSERT_TRUE(Cancel(first.name(), &ended).ok());
  Restart();
  const v1::Job again = Submit(spec, "request-1");
  EXPECT_EQ(again.name(), first.name());
  EXPECT_EQ(again.state(), v1::Job::STATE_CANCELLED);
  EXPECT_EQ(Submit(spec, "request-2").name(), "jobs/2");
}

TEST_F(JobServiceTest, ARequestIdIsRefusedWithAnotherSpec) {
  Submit(TestSpec(), "request-1");
  v1::SubmitJobRequest request;
  request.set_request_id("request-1");
  *request.mutable_spec() = TestSpec();
  request.mutable_spec()->set_priority(1);
  const auto expect_refused = [&] {
    const grpc::Status status = TrySubmit(request);
    EXPECT_EQ(status.error_code(), StatusCode::ALREADY_EXISTS);
    EXPECT_THAT(status.error_message(),
                testing::AllOf(HasSubstr("\"request-1\""), HasSubstr("jobs/1"),
                               HasSubstr("another request_id")));
  };
  expect_refused();
  v1::Job ended;
  ASSERT_TRUE(Cancel("jobs/1", &ended).ok());
  expect_refused();
  Restart();
  expect_refused();
  EXPECT_THAT(List({}), ElementsAre("jobs/1"));
}

TEST_F(JobServiceTest, DryRunChecksAndStoresNothing) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = TestSpec();
  request.set_dry_run(true);
  v1::SubmitJobResponse response;
  ASSERT_TRUE(jobs_->SubmitJob(TestContext().get(), request, &response).ok());
  EXPECT_EQ(response.job().name(), "");
  EXPECT_EQ(response.job().spec().training().batch_size(), 64u);
  EXPECT_THAT(List({}), IsEmpty());
}

TEST_F(JobServiceTest, RefusesWhatItCannotRunWithFieldAndReason) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = TestSpec();
  request.mutable_spec()->mutable_training()->set_epochs(2'000'000);
  grpc::Status status = TrySubmit(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("training.epochs"));

  *request.mutable_spec() = TestSpec();
  const std::string artifact = "sha256:" + std::string(64, 'a');
  request.mutable_spec()
      ->mutable_training()
      ->mutable_data()
      ->mutable_source()
      ->set_artifact(artifact);
  status = TrySubmit(request);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(
      status.error_message(),
      testing::AllOf(HasSubstr("training.data.source"), HasSubstr(artifact)));
  EXPECT_THAT(List({}), IsEmpty());
}

TEST_F(JobServiceTest, AFullDiskIsToldAndTheNextSubmitWorks) {
  store_.FailCommits(1, absl::ResourceExhaustedError("disk full"));
  v1::SubmitJobRequest request;
  *request.mutable_spec() = TestSpec();
  const grpc::Status status = TrySubmit(request);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("disk full"));
  // The engine tries again after a pause.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!TrySubmit(request).ok()) ASSERT_LT(absl::Now(), deadline);
  EXPECT_THAT(List({}), ElementsAre("jobs/1"));
}

TEST_F(JobServiceTest, BatchAnswersItemByItem) {
  v1::BatchSubmitJobsRequest request;
  for (int i = 0; i < 5; ++i) {
    *request.add_requests()->mutable_spec() = TestSpec();
  }
  request.mutable_requests(0)->set_request_id("r");
  request.mutable_requests(1)->mutable_spec()->clear_training();
  request.mutable_requests(2)->set_dry_run(true);
  request.mutable_requests(3)->set_request_id("r");
  v1::BatchSubmitJobsResponse response;
  const auto status =
      jobs_->BatchSubmitJobs(TestContext().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 5);
  EXPECT_EQ(response.results(0).job(), "jobs/1");
  EXPECT_EQ(response.results(1).code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.results(1).message(), HasSubstr("training"));
  EXPECT_EQ(response.results(2).code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(response.results(3).job(), "jobs/1");
  EXPECT_EQ(response.results(4).job(), "jobs/2");
}

TEST_F(JobServiceTest, ABatchRefusesRequestIdsOfOtherSpecs) {
  Submit(TestSpec(), "before");
  v1::BatchSubmitJobsRequest request;
  for (const auto& [id, priority] :
       {std::pair{"before", 0}, {"before", 1}, {"now", 2}, {"now", 3}}) {
    v1::SubmitJobRequest* item = request.add_requests();
    item->set_request_id(id);
    *item->mutable_spec() = TestSpec();
    item->mutable_spec()->set_priority(priority);
  }
  for (int i = 0; i < 2; ++i) {
    v1::BatchSubmitJobsResponse response;
    ASSERT_TRUE(
        jobs_->BatchSubmitJobs(TestContext().get(), request, &response).ok());
    EXPECT_EQ(response.results(0).job(), "jobs/1");
    EXPECT_EQ(response.results(1).code(), StatusCode::ALREADY_EXISTS);
    EXPECT_THAT(response.results(1).message(), HasSubstr("jobs/1"));
    EXPECT_EQ(response.results(1).job(), "");
    EXPECT_EQ(response.results(2).job(), "jobs/2");
    EXPECT_EQ(response.results(3).code(), StatusCode::ALREADY_EXISTS);
    EXPECT_THAT(response.results(3).message(), HasSubstr("jobs/2"));
    Restart();
  }
}

TEST_F(JobServiceTest, ListsNewestFirstInPagesWithFilter) {
  for (int i = 0; i < 5; ++i) {
    v1::JobSpec spec = TestSpec();
    if (i % 2 == 0) (*spec.mutable_labels())["team"] = "birds";
    Submit(spec);
  }
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::string token;
  EXPECT_THAT(List(request, &token), ElementsAre("jobs/5", "jobs/4"));
  request.set_page_token(token);
  EXPECT_THAT(List(request, &token), ElementsAre("jobs/3", "jobs/2"));
  request.set_page_token(token);
  EXPECT_THAT(List(request, &token), ElementsAre("jobs/1"));
  EXPECT_EQ(token, "");

  v1::ListJobsRequest filtered;
  (*filtered.mutable_filter()->mutable_labels())["team"] = "birds";
  EXPECT_THAT(List(filtered), ElementsAre("jobs/5", "jobs/3", "jobs/1"));
}

TEST_F(JobServiceTest, SaysWhyAJobWaits) {
  Submit(TestSpec());
  EXPECT_THAT(Get("jobs/1").reason(), HasSubstr("no"));
  EXPECT_FALSE(Get("jobs/1").reason().empty());
}

TEST_F(JobServiceTest, UnknownAndMalformedNames) {
  v1::GetJobRequest request;
  v1::GetJobResponse response;
  request.set_name("jobs/99");
  EXPECT_EQ(jobs_->GetJob(TestContext().get(), request, &response).error_code(),
            StatusCode::NOT_FOUND);
  for (const char* bad : {"", "jobs/", "jobs/-1", "jobs/1x", "job/1",
                          "jobs/99999999999999999999", "jobs/0"}) {
    request.set_name(bad);
    const auto status = jobs_->GetJob(TestContext().get(), request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << bad;
    EXPECT_THAT(status.error_message(), HasSubstr("name")) << bad;
  }
}

TEST_F(JobServiceTest, CancelsAQueuedJobOnceAndForAll) {
  Submit(TestSpec());
  v1::Job job;
  ASSERT_TRUE(Cancel("jobs/1", &job).ok());
  EXPECT_EQ(job.state(), v1::Job::STATE_CANCELLED);
  EXPECT_THAT(job.reason(), HasSubstr("a typo"));
  EXPECT_TRUE(Cancel("jobs/1", &job).ok());
  EXPECT_EQ(Cancel("jobs/2", &job).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(JobServiceTest, WatchShowsWhatIsThereThenEachChange) {
  Submit(TestSpec());
  v1::WatchJobsRequest request;
  const auto context = TestContext();
  const auto reader = jobs_->WatchJobs(context.get(), request);
  v1::WatchJobsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_EQ(response.jobs(0).name(), "jobs/1");
  const uint64_t revision = response.revision();
  EXPECT_EQ(revision, response.jobs(0).revision());
  Submit(TestSpec());
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_EQ(response.jobs(0).name(), "jobs/2");
  EXPECT_GT(response.revision(), revision);
  context->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);

  // To resume, pass the last revision seen.
  request.set_from_revision(revision);
  const auto second = TestContext();
  const auto resumed = jobs_->WatchJobs(second.get(), request);
  ASSERT_TRUE(resumed->Read(&response));
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_EQ(response.jobs(0).name(), "jobs/2");
  second->TryCancel();
  resumed->Finish();
}

TEST_F(JobServiceTest, WatchUntilFinalEndsByItself) {
  Submit(TestSpec());
  Submit(TestSpec());
  v1::Job job;
  ASSERT_TRUE(Cancel("jobs/1", &job).ok());
  EXPECT_THAT(WatchToEnd("jobs/1"), ElementsAre(v1::Job::STATE_CANCELLED));
}

TEST_F(JobServiceTest, WatchGivesSignsOfLife) {
  options_.rpc.sign_of_life = absl::Milliseconds(20);
  Restart();
  Submit(TestSpec());
  const auto context = TestContext();
  const auto reader = jobs_->WatchJobs(context.get(), {});
  v1::WatchJobsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  const uint64_t revision = response.revision();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_THAT(response.jobs(), IsEmpty());
    EXPECT_EQ(response.revision(), revision);
  }
  context->TryCancel();
  reader->Finish();
}

TEST_F(JobServiceTest, WatchRefusesWhatItCannotFollow) {
  v1::WatchJobsRequest request;
  v1::WatchJobsResponse response;
  request.set_until_final(true);
  auto context = TestContext();
  auto reader = jobs_->WatchJobs(context.get(), request);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::INVALID_ARGUMENT);

  request.mutable_filter()->add_names("jobs/7");
  context = TestContext();
  reader = jobs_->WatchJobs(context.get(), request);
  EXPECT_FALSE(reader->Read(&response));
  const auto status = reader->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("jobs/7"));

  request.Clear();
  request.set_from_revision(1000);
  context = TestContext();
  reader = jobs_->WatchJobs(context.get(), request);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::OUT_OF_RANGE);
}

TEST_F(JobServiceTest, ManyWatchersHearOfTheirJobsOnly) {
  constexpr int kWatchers = 50;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchJobsResponse>>>
      readers;
  for (int i = 1; i <= kWatchers; ++i) {
    v1::WatchJobsRequest request;
    request.mutable_filter()->add_names(Submit(TestSpec()).name());
    request.set_until_final(true);
    contexts.push_back(TestContext());
    readers.push_back(jobs_->WatchJobs(contexts.back().get(), request));
  }
  v1::Job job;
  for (int i = 1; i <= kWatchers; ++i) {
    ASSERT_TRUE(Cancel("jobs/" + std::to_string(i), &job).ok());
  }
  for (int i = 1; i <= kWatchers; ++i) {
    v1::WatchJobsResponse response;
    v1::Job::State last = v1::Job::STATE_UNSPECIFIED;
    while (readers[i - 1]->Read(&response)) {
      for (const v1::Job& changed : response.jobs()) {
        EXPECT_EQ(changed.name(), "jobs/" + std::to_string(i));
        last = changed.state();
      }
    }
    EXPECT_TRUE(readers[i - 1]->Finish().ok());
    EXPECT_EQ(last, v1::Job::STATE_CANCELLED);
  }
}

TEST_F(JobServiceTest, StoppingEndsStreamsWithUnavailable) {
  Submit(TestSpec());
  const auto context = TestContext();
  const auto reader = jobs_->WatchJobs(context.get(), {});
  v1::WatchJobsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  server_->Stop(absl::Seconds(10));
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace trainyard::rpc
