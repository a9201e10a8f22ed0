#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "server/rpc/test_server.h"
#include "trainyard/v1/queue_service.grpc.pb.h"

namespace trainyard::rpc {
namespace {

using testing::HasSubstr;

class QueueServiceTest : public ServerTest {
 protected:
  // `text` is a v1::Queue in text format.
  grpc::Status Set(const std::string& text, v1::Queue* queue = nullptr) {
    v1::SetQueueRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        text, request.mutable_queue()));
    v1::SetQueueResponse response;
    const grpc::Status status =
        queues_->SetQueue(TestContext().get(), request, &response);
    if (queue != nullptr) *queue = response.queue();
    return status;
  }

  grpc::Status Find(const std::string& name, v1::Queue* queue) {
    v1::GetQueueRequest request;
    request.set_name(name);
    v1::GetQueueResponse response;
    const grpc::Status status =
        queues_->GetQueue(TestContext().get(), request, &response);
    *queue = response.queue();
    return status;
  }

  static v1::JobSpec SpecOf(const std::string& queue, const std::string& user) {
    v1::JobSpec spec = TestSpec();
    spec.set_queue(queue);
    spec.set_user(user);
    return spec;
  }
};

TEST_F(QueueServiceTest, TheDefaultQueueIsThereFromTheStart) {
  v1::ListQueuesResponse response;
  ASSERT_TRUE(queues_->ListQueues(TestContext().get(), {}, &response).ok());
  ASSERT_EQ(response.queues_size(), 1);
  const v1::Queue& queue = response.queues(0);
  EXPECT_EQ(queue.name(), "queues/default");
  EXPECT_EQ(queue.weight(), 1);
  EXPECT_EQ(queue.state(), v1::Queue::STATE_OPEN);
  EXPECT_FALSE(queue.has_quota());
  EXPECT_EQ(Submit(TestSpec()).spec().queue(), "default");
}

TEST_F(QueueServiceTest, KeepsWhatWasSetOverARestart) {
  v1::Queue queue;
  const char* text =
      "name: 'queues/team' weight: 2.5 state: STATE_DRAINING owner: 'ada' "
      "quota { devices { kind: DEVICE_KIND_CUDA count: 0 } running_jobs: 3 "
      "device_hours: 1.5 }";
  const grpc::Status status = Set(text, &queue);
  ASSERT_TRUE(status.ok()) << status.error_message();
  Restart();
  v1::Queue again;
  ASSERT_TRUE(Find("queues/team", &again).ok());
  EXPECT_EQ(again.DebugString(), queue.DebugString());
  v1::Queue expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &expected));
  again.clear_usage();
  EXPECT_EQ(again.DebugString(), expected.DebugString());
}

TEST_F(QueueServiceTest, ShowsWhoWaitsInIt) {
  ASSERT_TRUE(Set("name: 'queues/team'").ok());
  Submit(SpecOf("team", "ada"));
  Submit(SpecOf("team", "ada"));
  Submit(SpecOf("team", "bob"));
  v1::Queue queue;
  ASSERT_TRUE(Find("queues/team", &queue).ok());
  EXPECT_EQ(queue.usage().waiting_jobs(), 3u);
  EXPECT_EQ(queue.usage().running_jobs(), 0u);
  ASSERT_EQ(queue.users_size(), 2);
  EXPECT_EQ(queue.users(0).user(), "ada");
  EXPECT_EQ(queue.users(0).usage().waiting_jobs(), 2u);
}

TEST_F(QueueServiceTest, NamesWhatIsWrong) {
  const struct {
    const char* queue;
    grpc::StatusCode code;
    const char* message;
  } kCases[] = {
      {"name: 'team'", grpc::StatusCode::INVALID_ARGUMENT,
       "queue.name: \"team\": must be \"queues/\""},
      {"name: 'queues/Team'", grpc::StatusCode::INVALID_ARGUMENT,
       "queue.name: \"queues/Team\""},
      {"name: 'queues/a' weight: 0", grpc::StatusCode::INVALID_ARGUMENT,
       "queue.weight: 0: must be 0.001 to"},
      {"name: 'queues/a' weight: nan", grpc::StatusCode::INVALID_ARGUMENT,
       "queue.weight"},
      {"name: 'queues/a' owner: 'a\\tb'", grpc::StatusCode::INVALID_ARGUMENT,
       "queue.owner: must be without control characters"},
      {"name: 'queues/a' quota { devices { count: 1 } }",
       grpc::StatusCode::INVALID_ARGUMENT, "queue.quota.devices[0].kind"},
      {"name: 'queues/a' quota { devices { kind: DEVICE_KIND_CPU count: 1 } "
       "devices { kind: DEVICE_KIND_CPU count: 2 } }",
       grpc::StatusCode::INVALID_ARGUMENT, "queue.quota.devices[1]: its kind"},
      {"name: 'queues/a' quota { device_hours: -1 }",
       grpc::StatusCode::INVALID_ARGUMENT, "queue.quota.device_hours: -1"},
  };
  for (const auto& c : kCases) {
    const grpc::Status status = Set(c.queue);
    EXPECT_EQ(status.error_code(), c.code) << c.queue;
    EXPECT_THAT(status.error_message(), HasSubstr(c.message)) << c.queue;
  }
  v1::Queue queue;
  EXPECT_EQ(Find("queues/none", &queue).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(QueueServiceTest, DeletesAQueueWithoutJobsOnly) {
  ASSERT_TRUE(Set("name: 'queues/team'").ok());
  const v1::Job job = Submit(SpecOf("team", ""));
  v1::DeleteQueueRequest request;
  request.set_name("queues/team");
  v1::DeleteQueueResponse response;
  EXPECT_EQ(queues_->DeleteQueue(TestContext().get(), request, &response)
                .error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  v1::CancelJobResponse cancelled;
  ASSERT_TRUE(jobs_->CancelJob(TestContext().get(), cancel, &cancelled).ok());
  EXPECT_TRUE(
      queues_->DeleteQueue(TestContext().get(), request, &response).ok());
  v1::Queue queue;
  EXPECT_EQ(Find("queues/team", &queue).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(QueueServiceTest, AJobForAQueueThatIsNotThereIsRefusedAlsoWhenTried) {
  for (const bool dry_run : {false, true}) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SpecOf("team", "");
    request.set_dry_run(dry_run);
    v1::SubmitJobResponse response;
    const grpc::Status status =
        jobs_->SubmitJob(TestContext().get(), request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << dry_run;
    EXPECT_THAT(status.error_message(), HasSubstr("\"team\"")) << dry_run;
  }
}

TEST_F(QueueServiceTest, CountsDeviceHoursAnew) {
  v1::ResetQueueHoursRequest request;
  request.set_name("queues/default");
  v1::ResetQueueHoursResponse response;
  ASSERT_TRUE(
      queues_->ResetQueueHours(TestContext().get(), request, &response).ok());
  EXPECT_EQ(response.queue().usage().device_hours(), 0);
  request.set_name("queues/none");
  EXPECT_EQ(queues_->ResetQueueHours(TestContext().get(), request, &response)
                .error_code(),
            grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace trainyard::rpc
