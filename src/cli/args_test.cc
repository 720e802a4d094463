#include "cli/args.h"

#include <sstream>

#include <gtest/gtest.h>

#include "base/error.h"

namespace minimax::cli {
namespace {

constexpr Flag kFlags[] = {
    {"--tensor-parallel-size", "-tp", "Parallel", FlagKind::kDone, "N", "1", "ranks"},
    {"--tokenizer", "", "Model", FlagKind::kDone, "PATH", "", "tokenizer"},
    {"--enable-prefix-caching", "", "Cache", FlagKind::kDone, "", "on", "share blocks", true},
    {"--api-key", "", "Server", FlagKind::kDone, "KEY", "", "keys", false, true},
    {"--swap-space", "", "Cache", FlagKind::kAccepted, "GIB", "", "nothing is swapped"},
    {"--pipeline-parallel-size", "-pp", "Parallel", FlagKind::kRefused, "N", "", "not supported"},
    {"--compilation-config", "-O -cc", "Graphs", FlagKind::kDone, "JSON", "", "graph modes"},
};
constexpr Verb kVerb{"serve", "MODEL", "Serves.", kFlags, 1};

Args parse(std::vector<std::string> words) {
  return parse_args(kVerb, words);
}

std::string error_of(std::vector<std::string> words) {
  try {
    parse(std::move(words));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Args, TakesTheFormsOfArgparse) {
  EXPECT_EQ(parse({"m", "--tensor-parallel-size", "4"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"--tensor-parallel-size=4", "m"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"--tensor_parallel_size", "4"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"--tensor", "4"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"-tp", "4"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"-tp=4"}).integer("--tensor-parallel-size", 1, 8), 4);
  EXPECT_EQ(parse({"-O3"}).text("--compilation-config"), "3");
  EXPECT_EQ(parse({"--api-key", "a", "b", "--tokenizer", "t", "m"}).texts("--api-key"),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parse({"--", "--odd-name"}).positionals(), std::vector<std::string>{"--odd-name"});
}

TEST(Args, SwitchesCanBeNegatedAndTheLastOneWins) {
  EXPECT_TRUE(parse({"--enable-prefix-caching"}).on("--enable-prefix-caching"));
  EXPECT_FALSE(parse({"--no-enable-prefix-caching"}).on("--enable-prefix-caching", true));
  EXPECT_TRUE(parse({"--no-enable-prefix-caching", "--enable-prefix"}).on("--enable-prefix-caching", false));
}

TEST(Args, ADottedFlagIsAnEntryOfItsJsonObjectAndSeveralAddUp) {
  const auto json = [](std::vector<std::string> words) {
    return parse(std::move(words)).text("--compilation-config").value_or("none");
  };
  EXPECT_EQ(json({"--compilation-config.cudagraph_mode", "PIECEWISE"}),
            "{\"cudagraph_mode\": \"PIECEWISE\"}");
  EXPECT_EQ(json({"-O.mode=3", "--compilation_config.pass.fuse=true", "-cc.pass.sizes", "[1, 2]"}),
            "{\"mode\": 3, \"pass\": {\"fuse\": true, \"sizes\": [1, 2]}}");
  EXPECT_EQ(json({"-cc", "{\"mode\": 3, \"level\": 1}", "-O.mode", "0"}), "{\"mode\": 0, \"level\": 1}");
  EXPECT_EQ(json({"-O.mode", "0", "-cc", "{\"level\": 1}"}), "{\"level\": 1}");
  EXPECT_EQ(json({"-O3", "-O.mode", "x.y"}), "{\"mode\": \"x.y\"}");
  EXPECT_EQ(json({"-O3.5"}), "3.5");
  EXPECT_EQ(error_of({"--tokenizer.mode", "x"}),
            "--tokenizer.mode: --tokenizer takes no JSON object, so nothing can follow its dot");
  EXPECT_EQ(error_of({"-O.a..b", "x"}),
            "--compilation-config.a..b: expected 1 to 16 keys with a dot between them");
  EXPECT_EQ(error_of({"-O.", "x"}), "--compilation-config.: expected 1 to 16 keys with a dot between them");
  EXPECT_EQ(error_of({"-O.mode"}), "--compilation-config needs a value (JSON)");
}

TEST(Args, RefusesWithASentenceThatHelps) {
  EXPECT_EQ(error_of({"--tensor-paralel-size", "4"}),
            "unknown flag --tensor-paralel-size; did you mean --tensor-parallel-size?");
  EXPECT_EQ(error_of({"--tensor-par-siz", "4"}),
            "unknown flag --tensor-par-siz; did you mean --tensor-parallel-size?");
  EXPECT_EQ(error_of({"--caching-prefix"}),
            "unknown flag --caching-prefix; did you mean --enable-prefix-caching?");
  EXPECT_EQ(error_of({"--quux", "4"}), "unknown flag --quux");
  EXPECT_EQ(error_of({"--t", "4"}), "--t is ambiguous: it could be --tensor-parallel-size, --tokenizer");
  EXPECT_EQ(error_of({"--tokenizer"}), "--tokenizer needs a value (PATH)");
  EXPECT_EQ(error_of({"--enable-prefix-caching=1"}), "--enable-prefix-caching takes no value, but got \"1\"");
  EXPECT_EQ(error_of({"-pp", "2"}), "--pipeline-parallel-size: not supported");
  EXPECT_EQ(error_of({"a", "b"}), "serve takes MODEL; \"b\" is one word too many");
  EXPECT_EQ(error_of({"-x"}), "unknown flag -x");
  EXPECT_THROW(parse({"-tp", "many"}).integer("--tensor-parallel-size", 1, 8), UsageError);
  try {
    parse({"-tp", "99999999999999999999"}).integer("--tensor-parallel-size", 1, 8);
    ADD_FAILURE() << "taken";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "--tensor-parallel-size must be between 1 and 8, but is 99999999999999999999");
  }
  EXPECT_THROW(parse({"-tp", "9"}).integer("--tensor-parallel-size", 1, 8), UsageError);
}

TEST(Args, AnAcceptedFlagSaysWhyThereIsNothingToDo) {
  EXPECT_EQ(parse({"--swap-space", "4"}).notes(),
            std::vector<std::string>{"--swap-space: nothing is swapped"});
  EXPECT_EQ(parse({"--swap-space", "4", "--swap-space=8"}).notes().size(), 1u);
}

TEST(Args, CountsTakeTheSuffixesOfThePeer) {
  EXPECT_EQ(parse_count("32k"), 32000);
  EXPECT_EQ(parse_count("32K"), 32768);
  EXPECT_EQ(parse_count("1.5m"), 1500000);
  EXPECT_EQ(parse_count("-1"), -1);
  EXPECT_EQ(parse_count("12x"), std::nullopt);
  EXPECT_EQ(parse_count(""), std::nullopt);
  EXPECT_EQ(parse_count("k"), std::nullopt);
}

TEST(Args, HelpIsNoWiderThanAsked) {
  static constexpr Flag kLong[] = {
      {"--a", "", "G", FlagKind::kDone, "", "",
       "one two three four five six seven eight nine ten eleven twelve thirteen"}};
  static constexpr Verb kWordy{
      "v", "", "Does one thing after another, and then, as if it were nothing, one more.", kLong, 0};
  std::istringstream lines(help_text(kWordy, 60));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 60u) << line;
}

TEST(Args, HelpNamesEveryFlagWithItsDefault) {
  const std::string help = help_text(kVerb);
  for (const Flag& flag : kFlags) EXPECT_NE(help.find(flag.name.substr(2)), std::string::npos) << flag.name;
  EXPECT_NE(help.find("(default: 1)"), std::string::npos);
}

}  // namespace
}  // namespace minimax::cli
