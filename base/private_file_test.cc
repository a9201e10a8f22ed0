#include "base/private_file.h"

#include <sys/stat.h>

#include <filesystem>

#include "gtest/gtest.h"

namespace trainyard {
namespace {

class PrivateFileTest : public testing::Test {
 protected:
  PrivateFileTest() { std::filesystem::create_directories(folder_); }
  ~PrivateFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const {
    return (folder_ / name).string();
  }
  static unsigned Mode(const std::string& path) {
    struct stat info = {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 0777u : 0;
  }
  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("private_") +
       testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(PrivateFileTest, IsForItsOwnerAloneAndNotOverwritten) {
  ASSERT_TRUE(WritePrivateFile(Path("a"), "one").ok());
  EXPECT_EQ(Mode(Path("a")), 0600u);
  EXPECT_EQ(WritePrivateFile(Path("a"), "two").code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadSmallFile(Path("a"), 10), "one");
  ASSERT_TRUE(WritePrivateFile(Path("a"), "two", /*replace=*/true).ok());
  EXPECT_EQ(*ReadSmallFile(Path("a"), 10), "two");
  EXPECT_EQ(Mode(Path("a")), 0600u);
  EXPECT_FALSE(ReadSmallFile(Path("a"), 2).ok());
  EXPECT_FALSE(ReadSmallFile(Path("b"), 2).ok());
  // Nothing half-written stays.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(PrivateFileTest, FoldersAreMadeWithTheirParents) {
  ASSERT_TRUE(MakePrivateFolder(Path("x/y")).ok());
  EXPECT_EQ(Mode(Path("x")), 0700u);
  EXPECT_EQ(Mode(Path("x/y")), 0700u);
  EXPECT_TRUE(MakePrivateFolder(Path("x/y")).ok());
  ASSERT_TRUE(WritePrivateFile(Path("f"), "").ok());
  EXPECT_FALSE(MakePrivateFolder(Path("f/y")).ok());
}

}  // namespace
}  // namespace trainyard
