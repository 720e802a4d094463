#include "cli/config_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/serve_flags.h"

namespace minimax::cli {
namespace {

Args parsed(std::string_view yaml, std::vector<std::string> more = {}) {
  std::vector<std::string> words = parse_config_file(serve_verb(), yaml, "c.yaml");
  words.insert(words.end(), more.begin(), more.end());
  return parse_args(serve_verb(), words);
}

TEST(ConfigFile, KeysAreFlagsAndTheCommandLineWins) {
  const std::string_view yaml =
      "port: 9000\nmax_model_len: 32k\nenable-auto-tool-choice: true\nenable-prefix-caching: false\n"
      "served-model-name: [a, b]\ncompilation-config: {cudagraph_mode: PIECEWISE, sizes: [1, 2]}\n"
      "override-generation-config:\n  temperature: 0.5\n";
  const Args args = parsed(yaml, {"--port", "9001"});
  EXPECT_EQ(args.integer("--port", 0, 65535), 9001);
  EXPECT_EQ(args.integer("--max-model-len", -1, 1 << 30), 32000);
  EXPECT_TRUE(args.on("--enable-auto-tool-choice"));
  EXPECT_FALSE(args.on("--enable-prefix-caching", true));
  EXPECT_EQ(args.texts("--served-model-name"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(args.text("--compilation-config"), R"({"cudagraph_mode":"PIECEWISE","sizes":[1,2]})");
  EXPECT_EQ(args.text("--override-generation-config"), R"({"temperature":0.5})");
}

TEST(ConfigFile, RefusesWithFileLineAndKey) {
  const auto error_of = [](std::string_view yaml) -> std::string {
    try {
      parsed(yaml);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of("host: a\nprot: 1\n"), "c.yaml, line 2, prot: unknown flag; did you mean port?");
  EXPECT_EQ(error_of("enable-auto-tool-choice: 3\n"),
            "c.yaml, line 1, enable-auto-tool-choice: expected true or false");
  EXPECT_EQ(error_of("[1, 2]"), "c.yaml: expected a map of flags");
  EXPECT_NE(error_of("a: [1"), "");
  EXPECT_NE(error_of("config: x.yaml"), "");
  EXPECT_EQ(error_of("host:\n"), "c.yaml, line 1, host: expected a value, found none");
  EXPECT_NE(error_of("api-key: [\"-x\"]\n").find("may not begin with '-'"), std::string::npos);
  std::string bomb = "compilation-config: {a: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]";
  for (int i = 1; i < 9; ++i) {
    const std::string alias = ", *a" + std::to_string(i - 1);
    bomb += ", b" + std::to_string(i) + ": &a" + std::to_string(i) + " [1";
    for (int j = 0; j < 10; ++j) bomb += alias;
    bomb += "]";
  }
  EXPECT_NE(error_of(bomb + "}\n").find("values in the file"), std::string::npos);
  EXPECT_EQ(error_of(""), "");
}

}  // namespace
}  // namespace minimax::cli
