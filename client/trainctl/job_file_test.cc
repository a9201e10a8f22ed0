#include "client/trainctl/job_file.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using ::testing::HasSubstr;

constexpr char kJob[] = R"(name: glyphs
training:
  model: {architecture: mnist_cnn}
  data:
    format: idx
    source: ./glyphs
  optimizer:
    kind: sgd
    learning_rate: 0.05
  epochs: 3
resources:
  devices:
    - kind: cuda
      min_memory_bytes: 8GiB
    - kind: cpu
labels: {team.name: a}
)";

absl::StatusOr<v1::JobSpec> SpecOf(const std::string& text) {
  const auto file = JobFile::Parse("job.yaml", text, "/jobs");
  if (!file.ok()) return file.status();
  return file->ToSpec();
}

std::string ErrorOf(const std::string& text) {
  const auto spec = SpecOf(text);
  return spec.ok() ? "no error" : std::string(spec.status().message());
}

TEST(JobFile, BecomesASpec) {
  const auto spec = SpecOf(kJob);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name(), "glyphs");
  EXPECT_EQ(spec->training().epochs(), 3u);
  EXPECT_EQ(spec->training().data().source().upload(), "/jobs/glyphs");
  EXPECT_EQ(spec->resources().devices(0).min_memory_bytes(), 8ull << 30);
  EXPECT_EQ(spec->labels().at("team.name"), "a");
}

TEST(JobFile, UnderstandsShortSources) {
  struct Row {
    const char* yaml;
    const char* path;
    const char* artifact;
    const char* upload;
  };
  const Row kRows[] = {
      {"/data/x", "/data/x", "", ""},     {"sha256:ab", "", "sha256:ab", ""},
      {"./x", "", "", "/jobs/x"},         {"../x", "", "", "/x"},
      {"{upload: x}", "", "", "/jobs/x"}, {"{upload: /x}", "", "", "/x"},
      {"{path: /x}", "/x", "", ""},
  };
  for (const Row& row : kRows) {
    const auto spec =
        SpecOf(std::string("training: {data: {source: ") + row.yaml +
               "}, model: {weights: " + row.yaml + "}}");
    ASSERT_TRUE(spec.ok()) << spec.status();
    for (const v1::Source& source : {spec->training().data().source(),
                                     spec->training().model().weights()}) {
      EXPECT_EQ(source.path(), row.path) << row.yaml;
      EXPECT_EQ(source.artifact(), row.artifact) << row.yaml;
      EXPECT_EQ(source.upload(), row.upload) << row.yaml;
    }
  }
}

TEST(JobFile, NamesFileLinePathAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> kRows[] = {
      {"training:\n  optimizer:\n    lerning_rate: 1\n",
       "job.yaml:3: training.optimizer.lerning_rate: unknown field; did you "
       "mean "
       "\"learning_rate\"?"},
      {"epochs: 3\n",
       "job.yaml:1: epochs: unknown field; did you mean \"training.epochs\"?"},
      {"name: a\ntraining:\n  epochs: -1\n",
       "job.yaml:3: training.epochs: -1: must be a whole number"},
      {"training:\n  epochs: three\n",
       "job.yaml:2: training.epochs: \"three\": must be a whole number"},
      {"training:\n  optimizer:\n    learning_rate: .nan\n",
       "job.yaml:3: training.optimizer.learning_rate: NaN: must be a finite"},
      {"training: {optimizer: {learning_rate: 0}}\n",
       "job.yaml:1: training.optimizer.learning_rate: 0: must be above 0"},
      {"training:\n  data:\n    augment: yes\n",
       "job.yaml:3: training.data.augment: \"yes\": must be true or false"},
      {"training:\n  epochs:\n",
       "job.yaml:2: training.epochs: no value: must be"},
      {"resources:\n  devices:\n    - kind: gpu\n",
       "job.yaml:3: resources.devices[0].kind: \"gpu\": must be one of cpu, "
       "cuda, mps"},
      {"training: {data: {source: glyphs}}\n",
       "job.yaml:1: training.data.source: \"glyphs\": must be an absolute "
       "path"},
      {"training: {data: {source: {path: /a, upload: b}}}\n",
       "job.yaml:1: training.data.source: both path and upload are given"},
      {"training: {}\nensemble: {}\n", "both training and ensemble are given"},
      {"limits: {run_time: soon}\n",
       "job.yaml:1: limits.run_time: \"soon\": must be a time"},
      {"name: 17\n", "job.yaml:1: name: 17: must be text; write \"17\""},
      {"- name: a\n", "job.yaml: must hold the fields of a job"},
      {"just text\n", "job.yaml: must hold the fields of a job"},
      {"a: 1\na: 2\n", "job.yaml: line 2: a: is there twice"},
      {"name: [a\n", "job.yaml: line "},
      {"", "job.yaml: is empty"},
      {"name: \"\xff\"\n",
       "job.yaml: line 1: has bytes that are not UTF-8 text"},
      {"\xff\xfe", "job.yaml: line 1: has bytes that are not UTF-8"},
  };
  for (const auto& [text, error] : kRows) {
    EXPECT_THAT(ErrorOf(text), HasSubstr(error));
  }
}

TEST(JobFile, SetChangesOneField) {
  auto file = JobFile::Parse("job.yaml", kJob, "/jobs");
  ASSERT_TRUE(file.ok());
  const std::pair<const char*, const char*> kSets[] = {
      {"name", "17"},
      {"training.epochs", "5"},
      {"training.model.hidden_sizes", "[1, 2]"},
      {"training.model.hidden_sizes[2]", "3"},
      {"training.data.source", "/elsewhere"},
      {"resources.devices[0].count", "2"},
      {"resources.devices[2].kind", "mps"},
      {"labels.team.name", "b"},
      {"labels.new", "1.0"},
      {"limits.run_time", "2h"},
      {"retry", "{max_retries: 0}"},
  };
  for (const auto& [path, value] : kSets) {
    const absl::Status status = file->Set(path, value, "--set");
    ASSERT_TRUE(status.ok()) << status;
  }
  const auto spec = file->ToSpec();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name(), "17");
  EXPECT_EQ(spec->training().epochs(), 5u);
  EXPECT_EQ(spec->training().model().hidden_sizes_size(), 3);
  EXPECT_EQ(spec->training().data().source().path(), "/elsewhere");
  EXPECT_EQ(spec->resources().devices(0).count(), 2u);
  EXPECT_EQ(spec->resources().devices(0).min_memory_bytes(), 8ull << 30);
  EXPECT_EQ(spec->resources().devices(2).kind(), v1::DEVICE_KIND_MPS);
  EXPECT_EQ(spec->labels().at("team.name"), "b");
  EXPECT_EQ(spec->labels().at("new"), "1.0");
  EXPECT_EQ(spec->limits().run_time().seconds(), 7200);
  EXPECT_EQ(spec->retry().max_retries(), 0u);
}

TEST(JobFile, SetReplacesTheOtherMemberOfAOneof) {
  auto file = JobFile::Parse("job.yaml", kJob, "/jobs");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Set("training.data.source.path", "/x", "--set").ok());
  EXPECT_EQ(file->ToSpec()->training().data().source().path(), "/x");
  ASSERT_TRUE(file->Set("training.data.source.upload", "y", "--set").ok());
  EXPECT_EQ(file->ToSpec()->training().data().source().upload(),
            (std::filesystem::current_path() / "y").string());
}

TEST(JobFile, SetErrorsNameTheFlag) {
  struct Row {
    const char* path;
    const char* value;
    const char* error;
  };
  const Row kRows[] = {
      {"training.epochs", "-1", "--set: training.epochs: -1: must be"},
      {"training.epoch", "1",
       "--set: training.epoch: unknown field; did you mean \"epochs\"?"},
      {"training.epochs.x", "1", "has a value that is no object"},
      {"resources.devices[7].kind", "cpu",
       "[7] must be a place in a list of 2"},
      {"resources.devices[x].kind", "cpu", "[x] must be a place"},
      {"resources.devices[0.kind", "cpu", "a [ is without its ]"},
      {"training..epochs", "1", "must be such as training.epochs"},
      {"", "1", "must be such as training.epochs"},
      {"training.epochs", "[1", "--set: "},
      {"training.data.source", "glyphs", "must be an absolute path"},
  };
  for (const Row& row : kRows) {
    auto file = JobFile::Parse("job.yaml", kJob, "/jobs");
    ASSERT_TRUE(file.ok());
    absl::Status status = file->Set(row.path, row.value, "--set");
    if (status.ok()) status = file->ToSpec().status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.error))
        << row.path;
  }
}

TEST(JobFile, LoadSaysWhichFileIsMissing) {
  const auto file = JobFile::Load("/nowhere/job.yaml");
  EXPECT_TRUE(absl::IsNotFound(file.status()));
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("/nowhere/job.yaml"));
  EXPECT_TRUE(absl::IsInvalidArgument(JobFile::Load("/").status()));
}

TEST(JobFile, AMembersJobIsWrittenAsOnTheCommandLine) {
  for (const char* job : {"17", "\"17\"", "jobs/17"}) {
    auto file = JobFile::Parse(
        "job.yaml",
        absl::StrCat("ensemble: {members: [{job: ", job, "}, {job: 0}]}\n"),
        "/jobs");
    ASSERT_TRUE(file.ok()) << job;
    ASSERT_TRUE(file->Set("ensemble.members[1].job", "18", "--set").ok());
    const auto spec = file->ToSpec();
    ASSERT_TRUE(spec.ok()) << job << ": " << spec.status();
    EXPECT_EQ(spec->ensemble().members(0).job(), "jobs/17") << job;
    EXPECT_EQ(spec->ensemble().members(1).job(), "jobs/18") << job;
  }
  EXPECT_THAT(ErrorOf("ensemble: {members: [{job: 1.5}]}\n"),
              HasSubstr("ensemble.members[0].job"));
}

TEST(FindUploads, FindsEachSource) {
  auto spec = SpecOf(
      "ensemble:\n  members: [{model: {weights: ./a}}, {model: {weights: "
      "./b}}]\n  data: {source: /c}\n");
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::vector<v1::Source*> uploads = FindUploads(&*spec);
  ASSERT_EQ(uploads.size(), 2u);
  EXPECT_EQ(uploads[1]->upload(), "/jobs/b");
}

}  // namespace
}  // namespace trainyard::trainctl
