#include "cli/serve_options.h"

#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/serve_flags.h"

namespace minimax::cli {
namespace {

ServeOptions options_of(std::vector<std::string> words, const Environment& environment = {}) {
  return serve_options(parse_args(serve_verb(), words), environment);
}

std::string error_of(std::vector<std::string> words) {
  try {
    options_of(std::move(words));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ServeOptions, TheCommandsOfTheGuideParse) {
  const ServeOptions tp4 =
      options_of({"MiniMaxAI/MiniMax-M2", "--tensor-parallel-size", "4", "--tool-call-parser", "minimax_m2",
                  "--reasoning-parser", "minimax_m2_append_think", "--enable-auto-tool-choice"});
  EXPECT_EQ(tp4.model, "MiniMaxAI/MiniMax-M2");
  EXPECT_EQ(tp4.reasoning_parser, "minimax_m2_append_think");
  EXPECT_TRUE(tp4.auto_tool_choice);
  EXPECT_EQ(tp4.served_names, std::vector<std::string>{"MiniMaxAI/MiniMax-M2"});
  options_of({"m", "--data-parallel-size", "8", "--enable-expert-parallel"});
  options_of({"m", "--compilation-config", "{\"cudagraph_mode\": \"PIECEWISE\"}"});
}

TEST(ServeOptions, EveryFlagGivenAtAllHasAKindThatIsHonoured) {
  // Each flag of the table is accepted by the parser with some value, refused with its reason, or checked.
  for (const Flag& flag : serve_verb().flags) {
    std::vector<std::string> words{"m", std::string(flag.name)};
    if (!flag.metavar.empty()) words.emplace_back("1");
    if (flag.kind == FlagKind::kRefused) {
      EXPECT_NE(error_of(words).find(flag.help), std::string::npos) << flag.name;
    } else if (flag.kind == FlagKind::kAccepted) {
      EXPECT_EQ(parse_args(serve_verb(), words).notes().size(), 1u) << flag.name;
    }
  }
}

TEST(ServeOptions, NoNameStandsTwiceInTheTable) {
  std::set<std::string> seen;
  for (const Flag& flag : serve_verb().flags) {
    EXPECT_TRUE(seen.insert(std::string(flag.name)).second) << flag.name;
    std::istringstream short_forms{std::string(flag.short_name)};
    for (std::string form; short_forms >> form;) EXPECT_TRUE(seen.insert(form).second) << form;
    if (!flag.negatable) continue;
    EXPECT_TRUE(seen.insert("--no-" + std::string(flag.name.substr(2))).second) << flag.name;
  }
}

TEST(ServeOptions, BadValuesAreRefusedByName) {
  EXPECT_NE(error_of({}).find("which model?"), std::string::npos);
  EXPECT_NE(error_of({"m", "--port", "70000"}).find("--port"), std::string::npos);
  EXPECT_NE(error_of({"m", "--reasoning-parser", "x"}).find("minimax_m2_append_think"), std::string::npos);
  EXPECT_NE(error_of({"m", "--enable-auto-tool-choice"}).find("--tool-call-parser"), std::string::npos);
  EXPECT_NE(error_of({"m", "--allowed-origins", "x"}).find("--allowed-origins"), std::string::npos);
  EXPECT_NE(error_of({"m", "--override-generation-config", "[]"}).find("JSON object"), std::string::npos);
  EXPECT_NE(error_of({"m", "--max-model-len", "0"}).find("--max-model-len"), std::string::npos);
  EXPECT_NE(error_of({"m", "--host", ""}).find("--host"), std::string::npos);
  EXPECT_NE(error_of({"m", "--served-model-name", "a", ""}).find("--served-model-name"), std::string::npos);
  EXPECT_NE(error_of({"m", "-tp", "many"}).find("--tensor-parallel-size"), std::string::npos);
  EXPECT_NE(error_of({"m", "-dp", "2", "--rank-proxy", "0", "--backend", "cuda"}).find("of one replica"),
            std::string::npos);
  EXPECT_NE(error_of({"m", "-tp", "4", "--rank-proxy", "4", "--backend", "cuda"}).find("--rank-proxy 4"),
            std::string::npos);
  EXPECT_NE(error_of({"m", "--rank-proxy", "0"}).find("--backend cuda"), std::string::npos);
  EXPECT_NE(error_of({"m", "--devices", "0", "x", "--backend", "cuda"}).find("--devices"), std::string::npos);
  EXPECT_NE(error_of({"m", "--load-format", "dummy"}).find("--backend cuda"), std::string::npos);
  EXPECT_NE(error_of({"m", "--gpu-memory-utilization", "95"}).find("between 0 and 1"), std::string::npos);
  EXPECT_NE(error_of({"m", "-O", "{cudagraph"}).find("--compilation-config"), std::string::npos);
  EXPECT_NE(error_of({"m", "--quantization", "awq"}).find("--quantization"), std::string::npos);
  EXPECT_NE(error_of({"m", "--model", "n"}).find("twice"), std::string::npos);
}

TEST(ServeOptions, TheKeyOfTheEnvironmentCountsOnlyWithoutAFlag) {
  Environment environment;
  environment.api_key = "from-environment";
  EXPECT_EQ(options_of({"m"}, environment).api_keys, std::vector<std::string>{"from-environment"});
  EXPECT_EQ(options_of({"m", "--api-key", "k"}, environment).api_keys, std::vector<std::string>{"k"});
}

}  // namespace
}  // namespace minimax::cli
