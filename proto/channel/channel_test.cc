#include "proto/channel/channel.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/channel/token_source.h"

namespace trainyard {
namespace {

using testing::HasSubstr;

class ChannelTest : public testing::Test {
 protected:
  ~ChannelTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(folder_);
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  std::string Wrong(const Security& security,
                    const std::string& server = "yard.lab:7070") {
    return std::string(CheckSecurity(server, security).message());
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("channel_") +
       testing::UnitTest::GetInstance()->current_test_info()->name());
  const std::string cert_ = Write("x.crt", "-----BEGIN CERTIFICATE-----\n");
  const std::string key_ = Write("x.key", "-----BEGIN PRIVATE KEY-----\n");
};

TEST_F(ChannelTest, PlainTextNeedsNothing) {
  EXPECT_EQ(Wrong({}), "");
  EXPECT_EQ(Wrong({.tls_ca = "system"}), "");
  EXPECT_EQ(Wrong({.tls_ca = cert_, .tls_cert = cert_, .tls_key = key_}), "");
}

TEST_F(ChannelTest, ATokenNeverGoesOverANetworkInPlainText) {
  EXPECT_THAT(Wrong({.token = "ty_a_b"}), HasSubstr("plain text"));
  EXPECT_EQ(Wrong({.token = "ty_a_b"}, "127.0.0.1:7070"), "");
  EXPECT_EQ(Wrong({.tls_ca = cert_, .token = "ty_a_b"}), "");
}

TEST_F(ChannelTest, NamesWhatIsWrong) {
  EXPECT_THAT(Wrong({.tls_cert = cert_, .tls_key = key_}),
              HasSubstr("--tls-ca (TRAINYARD_TLS_CA): not set"));
  EXPECT_THAT(Wrong({.tls_ca = cert_, .tls_cert = cert_}),
              HasSubstr("--tls-key: not set"));
  EXPECT_THAT(Wrong({.tls_ca = "/none.crt"}),
              HasSubstr("--tls-ca: /none.crt: cannot be read"));
  EXPECT_THAT(Wrong({.tls_ca = key_}),
              HasSubstr("must be a PEM file with a CERTIFICATE"));
  EXPECT_THAT(Wrong({.tls_ca = cert_, .tls_cert = cert_, .tls_key = cert_}),
              HasSubstr("must be a PEM file with a PRIVATE KEY"));
  EXPECT_THAT(Wrong({.tls_ca = cert_, .token_file = "/none"}),
              HasSubstr("token_file: /none"));
}

TEST_F(ChannelTest, NoMessageHasTheToken) {
  const std::string file = Write("token", "geheim geheim");
  EXPECT_THAT(Wrong({.tls_ca = cert_, .token_file = file}),
              testing::AllOf(HasSubstr("must be a token"),
                             testing::Not(HasSubstr("geheim"))));
  EXPECT_THAT(Wrong({.tls_ca = cert_, .token = "geheim geheim"}),
              testing::Not(HasSubstr("geheim")));
}

TEST_F(ChannelTest, TokenIsReadFromItsFile) {
  TokenSource source("", Write("token", "ty_a_b\n"));
  EXPECT_EQ(source.Get(), "ty_a_b");
  EXPECT_EQ(TokenSource("ty_c_d", "/none").Get(), "ty_c_d");
  EXPECT_EQ(TokenSource("", "/none").Get(), "");
}

// Left: what gRPC 1.51 says.
TEST_F(ChannelTest, FailedConnectionsAreExplained) {
  const std::pair<const char*, const char*> kRows[] = {
      {"failed to connect to all addresses; last error: UNKNOWN: "
       "ipv4:127.0.0.1:7070: Ssl handshake failed: SSL_ERROR_SSL: "
       "error:0A000086:SSL routines::certificate verify failed",
       "not signed by the CA in --tls-ca (TRAINYARD_TLS_CA)"},
      {"failed to connect to all addresses; last error: UNAVAILABLE: "
       "ipv4:127.0.0.1:7070: Socket closed",
       "a server with TLS needs --tls-ca (TRAINYARD_TLS_CA)"},
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL "
       "routines::wrong version number",
       "it does not speak TLS there: leave --tls-ca (TRAINYARD_TLS_CA) out"},
      {"failed to connect to all addresses; last error: UNKNOWN: "
       "ipv4:127.0.0.1:7070: Peer name 127.0.0.1 is not in peer certificate",
       "--tls-server-name"},
      {"failed to connect to all addresses; last error: UNKNOWN: "
       "ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
       "nothing listens there"},
      {"DNS resolution failed for nosuch.invalid:7070: C-ares status is not "
       "ARES_SUCCESS qtype=AAAA name=nosuch.invalid is_balancer=0: Domain name "
       "not found",
       "its name leads to no address"},
      {"Deadline Exceeded", "it did not answer in time"},
  };
  for (const auto& [message, part] : kRows) {
    const std::string text = ExplainConnectionError(message);
    EXPECT_THAT(text, HasSubstr(part));
    EXPECT_THAT(text, testing::Not(HasSubstr("last error")));
  }
  for (const char* other : {"Socket closed", "the server is stopping"}) {
    EXPECT_EQ(ExplainConnectionError(other), other);
  }
}

}  // namespace
}  // namespace trainyard
