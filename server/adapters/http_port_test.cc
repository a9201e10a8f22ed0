#include "server/adapters/http_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "base/address.h"
#include "base/certificates.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "server/adapters/temp_folder.h"
#include "server/adapters/tls_context.h"

namespace trainyard::adapters {
namespace {

using testing::HasSubstr;
using testing::Not;

class HttpPortTest : public testing::Test {
 protected:
  HttpPortTest() {
    options_.address = "127.0.0.1:0";
    pages_.metrics = [] { return "trainyard_build_info 1\n"; };
    pages_.ready = [this] { return ready_; };
  }

  void Start() {
    auto port = HttpPort::Start(options_, pages_);
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *std::move(port);
  }

  int number() const { return ParseHostPort(port_->address())->port; }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }
  std::string Path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  // A server's certificate and a client's, both by one CA.
  void MakeTls() {
    const absl::Time now = absl::Now();
    const absl::Time begin = now - absl::Hours(1);
    const absl::Time end = now + absl::Hours(1);
    const Identity ca = *MakeAuthority("test CA", begin, end);
    CertificateRequest request;
    request.common_name = "server";
    request.names = {"127.0.0.1"};
    request.server = true;
    request.begin = begin;
    request.end = end;
    const Identity server = *IssueCertificate(ca, request);
    request.server = false;
    const Identity client = *IssueCertificate(ca, request);
    Write("ca.crt", ca.certificate);
    Write("server.crt", server.certificate);
    Write("server.key", server.key);
    Write("client.crt", client.certificate);
    Write("client.key", client.key);
    options_.tls = {Path("server.crt"), Path("server.key"), ""};
  }

  httplib::SSLClient Https(bool with_certificate) const {
    if (!with_certificate) return httplib::SSLClient("127.0.0.1", number());
    return httplib::SSLClient("127.0.0.1", number(), Path("client.crt"),
                              Path("client.key"));
  }

  int Status(httplib::Client&& client, const char* path) {
    const auto result = client.Get(path);
    return result ? result->status : -1;
  }

  // A connection that sends these bytes and reads what comes back.
  std::string Raw(const std::string& bytes) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<uint16_t>(number()));
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    EXPECT_EQ(connect(socket, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(socket, bytes.data() + sent, bytes.size() - sent,
                             MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    std::string answer;
    char buffer[4096];
    ssize_t n = 0;
    while ((n = recv(socket, buffer, sizeof(buffer), 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(n));
    }
    close(socket);
    return answer;
  }

  TempFolder folder_;
  absl::Status ready_;
  HttpPortOptions options_;
  HttpPages pages_;
  std::unique_ptr<HttpPort> port_;
};

TEST_F(HttpPortTest, ServesItsThreePages) {
  Start();
  httplib::Client client("127.0.0.1", number());
  const auto metrics = client.Get("/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->body, "trainyard_build_info 1\n");
  EXPECT_THAT(metrics->get_header_value("Content-Type"),
              HasSubstr("version=0.0.4"));
  EXPECT_EQ(client.Get("/healthz")->status, 200);
  EXPECT_EQ(client.Get("/readyz")->status, 200);
  EXPECT_EQ(client.Get("/other")->status, 404);
  EXPECT_THAT(client.Get("/other")->body, HasSubstr("/healthz"));
  EXPECT_EQ(client.Post("/metrics", "x", "text/plain")->status, 413);
}

TEST_F(HttpPortTest, TellsWhenItIsNotReady) {
  ready_ = absl::UnavailableError("starting");
  Start();
  httplib::Client client("127.0.0.1", number());
  EXPECT_EQ(client.Get("/readyz")->status, 503);
  EXPECT_EQ(client.Get("/readyz")->body, "starting\n");
  EXPECT_EQ(client.Get("/healthz")->status, 200);
  const absl::Status asked = AskReady(port_->address(), absl::Seconds(5));
  EXPECT_EQ(asked.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(asked.message()), HasSubstr("503: starting"));
}

TEST_F(HttpPortTest, APortInUseIsSaidInWords) {
  Start();
  HttpPortOptions second = options_;
  second.address = port_->address();
  const auto port = HttpPort::Start(second, pages_);
  EXPECT_EQ(port.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(port.status().message()),
              HasSubstr("another program has the port"));
}

TEST_F(HttpPortTest, RefusesAnAddressWithoutPort) {
  options_.address = "localhost";
  EXPECT_EQ(HttpPort::Start(options_, pages_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpPortTest, ARequestThatIsTooLargeEndsWithoutAnAnswerOrWithAnError) {
  options_.request_bytes = 4096;
  Start();
  std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 1000; ++i) {
    request += "X-" + std::to_string(i) + ": aaaaaaaaaaaaaaaa\r\n";
  }
  EXPECT_THAT(Raw(request + "\r\n"), Not(HasSubstr("200 OK")));
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
              HasSubstr("200 OK"));
}

TEST_F(HttpPortTest, OneWhoSaysNothingIsSentAwayAndHoldsUpNobody) {
  options_.connection_time = absl::Milliseconds(200);
  options_.threads = 1;
  Start();
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\n"), Not(HasSubstr("200 OK")));
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
              HasSubstr("200 OK"));
}

TEST_F(HttpPortTest, SurvivesGarbage) {
  Start();
  EXPECT_THAT(Raw(std::string("\0\xff\r\n\r\n\r\n", 8)),
              Not(HasSubstr("200 OK")));
  EXPECT_THAT(Raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Not(HasSubstr("200 OK")));
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
              HasSubstr("200 OK"));
}

TEST_F(HttpPortTest, SpeaksTls) {
  MakeTls();
  Start();
  auto client = Https(false);
  client.set_ca_cert_path(Path("ca.crt").c_str());
  client.enable_server_certificate_verification(true);
  const auto metrics = client.Get("/metrics");
  ASSERT_TRUE(metrics) << httplib::to_string(metrics.error());
  EXPECT_EQ(metrics->status, 200);
  EXPECT_TRUE(AskReady(port_->address(), absl::Seconds(5)).ok());
  // Plain text to a TLS port.
  EXPECT_THAT(Raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
              Not(HasSubstr("200 OK")));
}

TEST_F(HttpPortTest, WithAClientCaOnlyMetricsNeedACertificate) {
  MakeTls();
  options_.tls.client_ca = Path("ca.crt");
  Start();
  auto without = Https(false);
  without.enable_server_certificate_verification(false);
  EXPECT_EQ(without.Get("/metrics")->status, 403);
  EXPECT_EQ(without.Get("/metrics",
                        {{"Trainyard-Peer-Verified", "yes"}})->status, 403);
  EXPECT_EQ(without.Get("/readyz")->status, 200);
  auto with = Https(true);
  with.enable_server_certificate_verification(false);
  EXPECT_EQ(with.Get("/metrics")->status, 200);
  // A certificate by another CA is no certificate.
  const std::string ca = Path("ca.crt");
  MakeTls();
  auto other = Https(true);
  other.enable_server_certificate_verification(false);
  options_.tls.client_ca = ca;
  EXPECT_TRUE(AskReady(port_->address(), absl::Seconds(5)).ok());
}

TEST_F(HttpPortTest, NamesTheTlsFileThatIsWrong) {
  MakeTls();
  const absl::Time now = absl::Now();
  EXPECT_TRUE(CheckTlsFiles(options_.tls, now).ok());
  const auto message = [now](const TlsFiles& files) {
    return std::string(CheckTlsFiles(files, now).message());
  };
  TlsFiles files = options_.tls;
  files.key = Path("client.key");
  EXPECT_THAT(message(files), HasSubstr("--tls-key: " + files.key));
  files = options_.tls;
  files.cert = Path("none.crt");
  EXPECT_THAT(message(files), HasSubstr("--tls-cert"));
  files = options_.tls;
  files.client_ca = Path("server.key");
  EXPECT_THAT(message(files), HasSubstr("--tls-client-ca"));
  EXPECT_THAT(std::string(CheckTlsFiles(options_.tls, now + absl::Hours(2))
                              .message()),
              HasSubstr("must be valid now"));
}

}  // namespace
}  // namespace trainyard::adapters
