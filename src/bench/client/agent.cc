// Agent sessions: what a model of this family is used for and no peer's client sends. A session is one
// conversation with tools: a system message and tools that all sessions share, a task, and then, turn after
// turn, the model's own answer and a tool's result behind it. So prefixes grow, and a server that keeps them
// computes little of each prompt anew. Between an answer and the next request lies the time the tool takes.

#include "bench/client/datasets.h"

namespace minimax::bench {
namespace {

Json tool(const char* name, const char* description, const char* argument, const char* meaning) {
  const Json property = Json::object({{"type", "string"}, {"description", meaning}});
  return Json::object(
      {{"type", "function"},
       {"function",
        Json::object({{"name", name},
                      {"description", description},
                      {"parameters", Json::object({{"type", "object"},
                                                   {"properties", Json::object({{argument, property}})},
                                                   {"required", Json(Json::Array{argument})}})}})}});
}

Json agent_tools() {
  return Json(Json::Array{
      tool("read_file", "Reads a file of the repository.", "path", "path from the root of the repository"),
      tool("search", "Finds lines in the repository.", "pattern", "a regular expression"),
      tool("run_command", "Runs a shell command and gives its output.", "command", "the command line"),
      tool("write_file", "Applies a patch to the repository.", "patch", "a unified diff")});
}

}  // namespace

std::vector<Script> agent_scripts(const DatasetOptions& options, const TokenText& text) {
  std::mt19937_64 random(options.seed);
  const auto words = [&](int64_t& tokens) {
    return fit_text(text, sequential_ids(text, random(), tokens), tokens, random);
  };
  int64_t system_tokens = options.agent_system_len;
  const std::string system =
      "You are an agent that works on a repository with tools. Its notes:\n" + words(system_tokens);
  std::vector<Script> scripts;
  for (int64_t i = 0; i < options.num_prompts; ++i) {
    Script script;
    int64_t tokens = options.agent_task_len;
    script.messages =
        Json(Json::Array{Json::object({{"role", "system"}, {"content", system}}),
                         Json::object({{"role", "user"}, {"content", "The task:\n" + words(tokens)}})});
    script.tools = agent_tools();
    script.output_tokens = options.agent_output_len;
    for (int64_t turn = 1; turn < options.agent_turns; ++turn) {
      FollowUp next;
      int64_t result = std::uniform_int_distribution<int64_t>(options.agent_result_len / 2,
                                                              options.agent_result_len * 3 / 2)(random);
      if (result > 0) next.text = words(result);
      if (options.agent_think_s > 0) {
        next.think_s = std::exponential_distribution<double>(1 / options.agent_think_s)(random);
      }
      next.output_tokens = options.agent_output_len;
      script.follow_ups.push_back(std::move(next));
    }
    scripts.push_back(std::move(script));
  }
  return scripts;
}

}  // namespace minimax::bench
