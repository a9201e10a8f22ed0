#include "workers/runner/data/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::HasSubstr;

TEST(FileTest, WritesAndReadsBack) {
  TempFolder folder;
  const std::string path = folder.path() + "/a.json";
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(path, {"two", "", " three"}).ok());
  EXPECT_EQ(*ReadWholeFile(path, 100), "two three");
  EXPECT_EQ(ListFolder(folder.path())->size(), 1u);
}

TEST(FileTest, SaysWhyItCannotWrite) {
  const absl::Status status = WriteFileAtomically("/nonexistent/a.json", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/a.json"));
}

TEST(FileTest, RefusesFilesThatAreTooLong) {
  TempFolder folder;
  const absl::Status status =
      ReadWholeFile(folder.Write("a", "12345"), 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("5 bytes; at most 4"));
}

TEST(FileTest, NeverWaitsOnAPipe) {
  TempFolder folder;
  const std::string path = folder.path() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(InputFile::Open(path).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(FileTest, FollowsLinksOnlyWhereAllowed) {
  TempFolder folder;
  folder.Write("a", "x");
  folder.Link("b", "a");
  EXPECT_TRUE(InputFile::Open(folder.path() + "/b").ok());
  EXPECT_EQ(InputFile::Open(folder.path() + "/b", false).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(FileTest, SaysHowMuchIsMissing) {
  TempFolder folder;
  const absl::StatusOr<InputFile> file =
      InputFile::Open(folder.Write("a", "12345"));
  char bytes[8];
  const absl::Status status = file->ReadAt(2, bytes, 8);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected 10 bytes, found 5"));
}

TEST(FileTest, ListsInOrderOfNames) {
  TempFolder folder;
  folder.Write("b", "");
  folder.Write("B", "");
  folder.MakeFolder("a");
  folder.Link("c", "b");
  const std::vector<FolderEntry> entries = *ListFolder(folder.path());
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].name, "B");
  EXPECT_EQ(entries[1].kind, EntryKind::kFolder);
  EXPECT_EQ(entries[3].kind, EntryKind::kLink);
}

TEST(CleanUtf8Test, KeepsTextAndReplacesTheRest) {
  const struct {
    std::string dirty, clean;
  } rows[] = {
      {"plain", "plain"},
      {"Gr\xC3\xBC\xC3\x9F", "Gr\xC3\xBC\xC3\x9F"},
      {"\xE2\x82\xAC \xF0\x9F\x90\xB1", "\xE2\x82\xAC \xF0\x9F\x90\xB1"},
      {"a\nb\x1B[31m\x7F", "a?b?[31m?"},
      {"\xFF\xC3", "??"},
      {"\xC0\xAF", "??"},            // overlong
      {"\xED\xA0\x80", "???"},       // surrogate
      {"\xF4\x90\x80\x80", "????"},  // beyond U+10FFFF
      {"\xE2\x82", "??"},            // cut off
      {std::string("a\0b", 3), "a?b"},
  };
  for (const auto& row : rows) EXPECT_EQ(CleanUtf8(row.dirty), row.clean);
}

}  // namespace
}  // namespace trainyard::data
