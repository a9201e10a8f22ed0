#include "client/trainctl/yaml_reader.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/trainctl/yaml_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainctl {
namespace {

using ::testing::HasSubstr;

TEST(ReadYaml, TypesScalarsAsTheCoreSchemaSays) {
  const std::pair<const char*, Json> kRows[] = {
      {"17", 17},
      {"-17", -17},
      {"+17", 17},
      {"017", 17},
      {"0x1f", 31},
      {"0o17", 15},
      {"18446744073709551615", 18446744073709551615ull},
      {"1.5", 1.5},
      {".5", 0.5},
      {"1e3", 1000.0},
      {"-1.5e-3", -0.0015},
      {"99999999999999999999", 1e20},
      {"true", true},
      {"False", false},
      {"~", nullptr},
      {"null", nullptr},
      {"", nullptr},
      {"no", "no"},
      {"yes", "yes"},
      {"1.2.3", "1.2.3"},
      {"1e", "1e"},
      {"1h30m", "1h30m"},
      {"0x", "0x"},
      {"nan", "nan"},
      {"inf", "inf"},
      {"0x1p3", "0x1p3"},
      {"2024-05-01", "2024-05-01"},
      {"'17'", "17"},
      {"\"true\"", "true"},
      {"!!str 17", "17"},
  };
  for (const auto& [text, json] : kRows) {
    const auto document = ReadYaml(absl::StrCat("value: ", text));
    ASSERT_TRUE(document.ok()) << text << ": " << document.status();
    EXPECT_EQ(document->json["value"], json) << text;
    // 1 == 1.0 and 1 == 1u, so compare the kinds too.
    EXPECT_EQ(document->json["value"].is_number_float(), json.is_number_float())
        << text;
  }
  EXPECT_TRUE(std::isnan(ReadYaml(".nan")->json.get<double>()));
  EXPECT_TRUE(std::isinf(ReadYaml("-.inf")->json.get<double>()));
  EXPECT_TRUE(std::isinf(ReadYaml("1e999")->json.get<double>()));
}

TEST(ReadYaml, KeepsTheLinesOfPaths) {
  const auto document = ReadYaml("a: 1\nb:\n  - c: 2\n  - d: 3\n");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->LineOf("a: wrong"), 1);
  EXPECT_EQ(document->LineOf("b: wrong"), 2);
  EXPECT_EQ(document->LineOf("b[0].c: wrong"), 3);
  EXPECT_EQ(document->LineOf("b[1].d: wrong"), 4);
  EXPECT_EQ(document->LineOf("b[1].e: missing"), 4);
  EXPECT_EQ(document->LineOf("z: wrong"), 0);
}

TEST(ReadYaml, ReadsAliasesAndJson) {
  EXPECT_EQ(ReadYaml("a: &x {k: 1}\nb: *x\n")->json["b"]["k"], 1);
  EXPECT_EQ(ReadYaml("{\"a\": [1, 2.5, \"x\"]}")->json.dump(),
            "{\"a\":[1,2.5,\"x\"]}");
}

TEST(ReadYaml, RefusesHostileAndBrokenText) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&bomb, "*a", i - 1, ",");
    absl::StrAppend(&bomb, "]\n");
  }
  const std::pair<std::string, const char*> kRows[] = {
      {"", "is empty"},
      {"a: 1\n---\nb: 2\n", "a second document begins"},
      {"a: 1\nb: 2\na: 3\n", "line 3: a: is there twice"},
      {"x:\n  a: 1\n  a: 2\n", "line 3: x.a: is there twice"},
      {"[1, 2]: 3\n", "line 1: a key must be text"},
      {"a: &x {k: 1}\nb:\n  <<: *x\n", "line 3: merge keys"},
      {"a: !python/object 1\n", "line 1: tag !python/object is not known"},
      {"a: [1, 2\nb: 3\n", "line "},
      {"a: 1\n b: 2\n", "line 2"},
      {"a: *nobody\n", "line 1"},
      {bomb, "more than 20000 values"},
      {std::string(10000, '['), ""},
      {std::string(100, '[') + std::string(100, ']'),
       "nested deeper than 32 levels"},
      {"a: " + std::string(kMaxYamlBytes, 'x'), "is larger than 1048576 bytes"},
      {"a: \"unfinished", "line "},
      {"\tb: 1", ""},
  };
  for (const auto& [text, error] : kRows) {
    const auto document = ReadYaml(text);
    ASSERT_FALSE(document.ok()) << text.substr(0, 100);
    EXPECT_TRUE(absl::IsInvalidArgument(document.status()));
    EXPECT_THAT(std::string(document.status().message()), HasSubstr(error))
        << text.substr(0, 100);
  }
}

TEST(WriteYaml, ReadsBackAsTheSame) {
  const Json json = Json::parse(R"({
    "name": "glyphs", "yes": "no", "number": "17", "float": "1e3", "null": "~",
    "dash": "- a", "colon": "a: b", "hash": "a #b", "empty": "", "space": " a ",
    "line": "a\nb\t\"c\"", "unicode": "größe", "inf": "inf", "path": "/a/b",
    "list": [1, -2.5, true, null, "x", {"a": 1, "b": {"c": []}}, [1, [2]], {}],
    "object": {"deep": {"er": "x-1.2"}}, "nothing": {}, "big": 18446744073709551615
  })");
  const std::string yaml = WriteYaml(json);
  const auto back = ReadYaml(yaml);
  ASSERT_TRUE(back.ok()) << back.status() << "\n" << yaml;
  EXPECT_EQ(back->json, json) << yaml;
}

TEST(WriteYaml, IsWhatAPersonWouldWrite) {
  EXPECT_EQ(WriteYaml(Json::parse(
                R"({"name":"glyphs","training":{"epochs":3,"hidden":[1,2]},
                    "devices":[{"kind":"cuda","count":2},{"kind":"cpu"}]})")),
            "name: glyphs\n"
            "training:\n"
            "  epochs: 3\n"
            "  hidden:\n"
            "    - 1\n"
            "    - 2\n"
            "devices:\n"
            "  - kind: cuda\n"
            "    count: 2\n"
            "  - kind: cpu\n");
}

}  // namespace
}  // namespace trainyard::trainctl
