#include "client/trainctl/security_files.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/certificates.h"
#include "base/private_file.h"
#include "base/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::Not;

class SecurityFilesTest : public testing::Test {
 protected:
  SecurityFilesTest() {
    request_.folder = (folder_ / "security").string();
    request_.hosts = {"yard.lab"};
    request_.lifetime = absl::Hours(24 * 30);
    request_.now = absl::FromUnixSeconds(1'700'000'000);
  }
  ~SecurityFilesTest() override { std::filesystem::remove_all(folder_); }

  SecurityFiles Make() {
    auto files = MakeSecurityFiles(request_);
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? *std::move(files) : SecurityFiles();
  }
  std::string Path(const std::string& name) const {
    return request_.folder + "/" + name;
  }
  std::map<std::string, std::string> Contents() const {
    std::map<std::string, std::string> contents;
    for (const auto& entry :
         std::filesystem::directory_iterator(request_.folder)) {
      contents[entry.path().filename()] =
          *ReadSmallFile(entry.path().string(), 1 << 20);
    }
    return contents;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("setup_") +
       testing::UnitTest::GetInstance()->current_test_info()->name());
  SecurityRequest request_;
};

TEST_F(SecurityFilesTest, MakesTenFilesForTheirOwnerAlone) {
  EXPECT_EQ(Make().made.size(), 10u);
  for (const auto& [name, text] : Contents()) {
    struct stat info = {};
    ASSERT_EQ(stat(Path(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0600u) << name;
  }
  EXPECT_EQ(*EndOfCertificate(Contents()["server.crt"]),
            request_.now + request_.lifetime);
}

TEST_F(SecurityFilesTest, ASecondTimeChangesNothing) {
  Make();
  const auto before = Contents();
  const SecurityFiles again = Make();
  EXPECT_THAT(again.made, IsEmpty());
  EXPECT_EQ(again.kept.size(), 10u);
  EXPECT_EQ(Contents(), before);
}

TEST_F(SecurityFilesTest, RenewingKeepsCaAndToken) {
  Make();
  auto before = Contents();
  request_.renew = true;
  Make();
  auto after = Contents();
  for (const char* same :
       {"ca.crt", "ca.key", "admin.token", "bootstrap-token.hash"}) {
    EXPECT_EQ(after[same], before[same]) << same;
  }
  for (const char* changed : {"server.crt", "client.key", "worker.crt"}) {
    EXPECT_NE(after[changed], before[changed]) << changed;
  }
}

TEST_F(SecurityFilesTest, TheHashIsTheTokens) {
  Make();
  const auto contents = Contents();
  const auto token =
      ParseToken(absl::StripSuffix(contents.at("admin.token"), "\n"));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(contents.at("bootstrap-token.hash"),
            absl::StrCat(token->id, " ", HashSecret(token->secret), "\n"));
  // A token that was moved away is not made anew.
  std::filesystem::remove(Path("admin.token"));
  EXPECT_THAT(Make().made, Not(Contains("admin.token")));
}

TEST_F(SecurityFilesTest, HalfAPairIsNotGuessedAt) {
  Make();
  std::filesystem::remove(Path("ca.key"));
  EXPECT_EQ(MakeSecurityFiles(request_).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(SecurityFilesTest, NoCertificateOutlivesItsCa) {
  request_.lifetime = absl::Hours(24 * 36500);
  Make();
  EXPECT_EQ(*EndOfCertificate(Contents()["server.crt"]),
            *EndOfCertificate(Contents()["ca.crt"]));
}

}  // namespace
}  // namespace trainyard::trainctl
