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
              HasSubstr("tls_ca: not set"));
  EXPECT_THAT(Wrong({.tls_ca = cert_, .tls_cert = cert_}),
              HasSubstr("tls_key: not set"));
  EXPECT_THAT(Wrong({.tls_ca = "/none.crt"}),
              HasSubstr("tls_ca: /none.crt: cannot be read"));
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

TEST_F(ChannelTest, BrokenTlsIsExplained) {
  EXPECT_THAT(ExplainConnectionError("Ssl handshake failed: error:0A000086:SSL "
                                     "routines::certificate verify failed"),
              HasSubstr("not signed by the CA in tls_ca"));
  EXPECT_EQ(ExplainConnectionError("connection refused"), "connection refused");
}

}  // namespace
}  // namespace trainyard
