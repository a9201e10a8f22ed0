#include "base/address.h"

#include "gtest/gtest.h"

namespace trainyard {
namespace {

TEST(Address, SplitsHostAndPort) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:7070")->port, 7070);
  EXPECT_EQ(ParseHostPort("127.0.0.1:7070")->host, "127.0.0.1");
  EXPECT_EQ(ParseHostPort("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseHostPort("yard.lab:65535")->host, "yard.lab");
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* bad : {"", ":", ":80", "host", "host:", "host:-1", "::1:80",
                          "host:65536", "host:80x", "[::1:80", "[]:80",
                          "host]:80", "host: 8", "host:000000080"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

TEST(Address, KnowsWhatStaysOnThisMachine) {
  for (const char* here : {"127.0.0.1:1", "127.8.9.1:1", "localhost:1",
                           "[::1]:1", "unix:/run/x"}) {
    EXPECT_TRUE(IsLoopback(here)) << here;
  }
  for (const char* there : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "lab:1",
                            "127.0.0.1.example.com:1", "localhost.lab:1"}) {
    EXPECT_FALSE(IsLoopback(there)) << there;
  }
}

}  // namespace
}  // namespace trainyard
