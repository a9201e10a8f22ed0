#include <functional>
#include <map>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "workers/agent/cloud/spot_notice.h"
#include "workers/agent/cloud/spot_watch.h"

namespace trainyard::agent {
namespace {

using testing::HasSubstr;

std::optional<SpotNotice> Parsed(Cloud cloud, absl::string_view body) {
  const auto notice = ParseSpotNotice(cloud, 200, body);
  EXPECT_TRUE(notice.ok()) << notice.status();
  return notice.ok() ? *notice : std::nullopt;
}

TEST(SpotNotice, AwsTellsActionAndTime) {
  const auto notice =
      Parsed(Cloud::kAws,
             R"({"action": "terminate", "time": "2017-09-18T08:22:00Z"})");
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->at, absl::FromUnixSeconds(1505722920));
  const auto untimed =
      Parsed(Cloud::kAws, R"({"action":"stop","time":"soon"})");
  ASSERT_TRUE(untimed.has_value());
  EXPECT_EQ(untimed->at, std::nullopt);
}

TEST(SpotNotice, AwsHasNoneWhereNothingIsFound) {
  const auto notice = ParseSpotNotice(Cloud::kAws, 404, "<html>");
  ASSERT_TRUE(notice.ok());
  EXPECT_FALSE(notice->has_value());
}

TEST(SpotNotice, GcpTellsYesOrNo) {
  EXPECT_TRUE(Parsed(Cloud::kGcp, "TRUE\n").has_value());
  EXPECT_FALSE(Parsed(Cloud::kGcp, "FALSE").has_value());
}

TEST(SpotNotice, AzureTellsEventsOfWhichSomeCount) {
  const auto notice =
      Parsed(Cloud::kAzure, R"({"DocumentIncarnation":1,"Events":[
      {"EventType":"Freeze","NotBefore":""},
      {"EventType":"Preempt","NotBefore":"Mon, 19 Sep 2016 18:29:47 GMT"}]})");
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->at, absl::FromUnixSeconds(1474309787));
  EXPECT_FALSE(Parsed(Cloud::kAzure, R"({"Events":[{"EventType":"Reboot"}]})")
                   .has_value());
  EXPECT_FALSE(Parsed(Cloud::kAzure, R"({"Events":[]})").has_value());
}

TEST(SpotNotice, AnswersWithoutSenseAreErrors) {
  for (const Cloud cloud : {Cloud::kAws, Cloud::kGcp, Cloud::kAzure}) {
    for (const char* body :
         {"", "[]", "maybe", "{\"action\":1,\"Events\":{}}", "\xff\xfe", "{"}) {
      EXPECT_FALSE(ParseSpotNotice(cloud, 200, body).ok()) << body;
    }
    const auto failed = ParseSpotNotice(cloud, 500, "TRUE");
    EXPECT_THAT(std::string(failed.status().message()), HasSubstr("500"));
  }
}

TEST(SpotNotice, CloudsAreNamed) {
  EXPECT_EQ(*ParseCloud("azure"), Cloud::kAzure);
  EXPECT_THAT(std::string(ParseCloud("ec2").status().message()),
              HasSubstr("must be none, aws, gcp or azure"));
}

TEST(SpotWatch, EndpointsAreChecked) {
  EXPECT_TRUE(CheckMetadataEndpoint("http://169.254.169.254").ok());
  EXPECT_TRUE(CheckMetadataEndpoint("http://127.0.0.1:80").ok());
  for (const char* wrong :
       {"", "127.0.0.1", "https://x", "http://", "http://x/y", "http://u@x"}) {
    EXPECT_FALSE(CheckMetadataEndpoint(wrong).ok()) << wrong;
  }
}

// A metadata service on loopback that answers what the test says.
class FakeMetadata {
 public:
  FakeMetadata() : port_(server_.bind_to_any_port("127.0.0.1")) {
    server_.Get(".*", [this](const httplib::Request& request,
                             httplib::Response& response) {
      Answer(request, response);
    });
    server_.Put("/latest/api/token", [](const httplib::Request& request,
                                        httplib::Response& response) {
      response.status =
          request.has_header("X-aws-ec2-metadata-token-ttl-seconds") ? 200
                                                                     : 400;
      response.set_content("secret", "text/plain");
    });
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~FakeMetadata() {
    server_.stop();
    thread_.join();
  }
  std::string endpoint() const {
    return absl::StrCat("http://127.0.0.1:", port_);
  }
  // What GET of `path` with the header gives; everything else is 404.
  void Set(const std::string& path, const std::string& header,
           const std::string& value, const std::string& body) {
    absl::MutexLock lock(&mutex_);
    path_ = path;
    header_ = header;
    value_ = value;
    body_ = body;
  }
  int asked() {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }

 private:
  void Answer(const httplib::Request& request, httplib::Response& response) {
    absl::MutexLock lock(&mutex_);
    ++asked_;
    if (request.path == path_ &&
        request.get_header_value(header_.c_str()) == value_) {
      response.set_content(body_, "text/plain");
    } else {
      response.status = 404;
    }
  }

  httplib::Server server_;
  const int port_;
  absl::Mutex mutex_;
  std::string path_ ABSL_GUARDED_BY(mutex_);
  std::string header_ ABSL_GUARDED_BY(mutex_);
  std::string value_ ABSL_GUARDED_BY(mutex_);
  std::string body_ ABSL_GUARDED_BY(mutex_);
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

bool Noticed(Cloud cloud, const FakeMetadata& metadata) {
  const auto notice = AskForSpotNotice({.cloud = cloud,
                                        .endpoint = metadata.endpoint(),
                                        .interval = absl::Seconds(5),
                                        .timeout = absl::Seconds(30)});
  EXPECT_TRUE(notice.ok()) << notice.status();
  return notice.ok() && notice->has_value();
}

TEST(SpotWatch, AsksEachCloudAsItWantsToBeAsked) {
  FakeMetadata metadata;
  metadata.Set("/latest/meta-data/spot/instance-action",
               "X-aws-ec2-metadata-token", "secret", R"({"action":"stop"})");
  EXPECT_TRUE(Noticed(Cloud::kAws, metadata));
  metadata.Set("/computeMetadata/v1/instance/preempted", "Metadata-Flavor",
               "Google", "TRUE");
  EXPECT_TRUE(Noticed(Cloud::kGcp, metadata));
  EXPECT_FALSE(Noticed(Cloud::kAws, metadata));
  metadata.Set("/metadata/scheduledevents", "Metadata", "true",
               R"({"Events":[{"EventType":"Terminate"}]})");
  EXPECT_TRUE(Noticed(Cloud::kAzure, metadata));
}

TEST(SpotWatch, TellsOnceAndThenRests) {
  FakeMetadata metadata;
  absl::Notification told;
  SpotWatch watch({.cloud = Cloud::kGcp,
                   .endpoint = metadata.endpoint(),
                   .interval = absl::Milliseconds(1),
                   .timeout = absl::Seconds(30)},
                  [&told](const SpotNotice&) { told.Notify(); });
  while (metadata.asked() < 3) std::this_thread::yield();
  EXPECT_FALSE(told.HasBeenNotified());
  metadata.Set("/computeMetadata/v1/instance/preempted", "Metadata-Flavor",
               "Google", "TRUE");
  told.WaitForNotification();  // a second Notify would end the program
}

TEST(SpotWatch, GoesOnWithoutAMetadataService) {
  const auto answer = AskForSpotNotice({.cloud = Cloud::kAws,
                                        .endpoint = "http://127.0.0.1:1",
                                        .interval = absl::Seconds(5),
                                        .timeout = absl::Seconds(2)});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  const SpotWatch watch({.cloud = Cloud::kAws,
                         .endpoint = "http://127.0.0.1:1",
                         .interval = absl::Hours(1),
                         .timeout = absl::Seconds(2)},
                        [](const SpotNotice&) { FAIL(); });
}

TEST(SpotWatch, RefusesAnAnswerWithoutEnd) {
  FakeMetadata metadata;
  metadata.Set("/computeMetadata/v1/instance/preempted", "Metadata-Flavor",
               "Google", std::string(1 << 20, 'x'));
  const auto answer = AskForSpotNotice({.cloud = Cloud::kGcp,
                                        .endpoint = metadata.endpoint(),
                                        .interval = absl::Seconds(5),
                                        .timeout = absl::Seconds(30)});
  EXPECT_FALSE(answer.ok());
}

}  // namespace
}  // namespace trainyard::agent
