// The datasets that are made from nothing but a tokenizer.

#include "bench/client/datasets.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace minimax::bench {

std::vector<TokenId> sequential_ids(const TokenText& text, uint64_t first, int64_t count) {
  const std::vector<TokenId>& allowed = text.allowed();
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(allowed[(first + static_cast<uint64_t>(i)) % allowed.size()]);
  }
  return ids;
}

namespace {

std::vector<TokenId> random_ids(const TokenText& text, int64_t count, std::mt19937_64& random) {
  std::uniform_int_distribution<size_t> any(0, text.allowed().size() - 1);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(text.allowed()[any(random)]);
  return ids;
}

int64_t drawn_length(int64_t length, double range, int64_t least, std::mt19937_64& random) {
  const auto low = static_cast<int64_t>(std::floor(static_cast<double>(length) * (1 - range)));
  const auto high = static_cast<int64_t>(std::ceil(static_cast<double>(length) * (1 + range)));
  return std::max(least, std::uniform_int_distribution<int64_t>(low, high)(random));
}

}  // namespace

std::vector<Script> random_scripts(const DatasetOptions& options, const TokenText& text) {
  std::mt19937_64 random(options.seed);
  const int64_t input_len = std::max<int64_t>(options.input_len - text.added_tokens(), 0);
  if (input_len + options.prefix_len < 1) {
    throw UsageError("--random-input-len and --random-prefix-len give prompts of no token");
  }
  const std::vector<TokenId> prefix = random_ids(text, options.prefix_len, random);
  std::vector<Script> scripts;
  for (int64_t i = 0; i < options.num_prompts; ++i) {
    Script script;
    const uint64_t offset = std::uniform_int_distribution<uint64_t>(0, text.allowed().size() - 1)(random);
    int64_t tokens = drawn_length(input_len, options.input_range, options.prefix_len > 0 ? 0 : 1, random);
    std::vector<TokenId> ids = prefix;
    const std::vector<TokenId> own = sequential_ids(text, offset + static_cast<uint64_t>(i), tokens);
    ids.insert(ids.end(), own.begin(), own.end());
    tokens += options.prefix_len;
    script.prompt = fit_text(text, std::move(ids), tokens, random);
    script.input_tokens = tokens + text.added_tokens();
    script.output_tokens = drawn_length(options.output_len, options.output_range, 1, random);
    scripts.push_back(std::move(script));
  }
  return scripts;
}

std::vector<Script> prefix_repetition_scripts(const DatasetOptions& options, const TokenText& text) {
  std::mt19937_64 random(options.seed);
  const int64_t each = options.num_prompts / options.repeated_prefixes;
  if (each == 0) {
    throw UsageError("--num-prompts {} is less than --prefix-repetition-num-prefixes {}", options.num_prompts,
                     options.repeated_prefixes);
  }
  std::vector<Script> scripts;
  for (int64_t i = 0; i < options.repeated_prefixes; ++i) {
    int64_t prefix_tokens = options.repeated_prefix_len;
    const std::string prefix = fit_text(text, random_ids(text, prefix_tokens, random), prefix_tokens, random);
    for (int64_t j = 0; j < each; ++j) {
      int64_t tokens = options.repeated_suffix_len;
      Script script;
      script.prompt = prefix + fit_text(text, random_ids(text, tokens, random), tokens, random);
      script.input_tokens = prefix_tokens + tokens + text.added_tokens();
      script.output_tokens = options.repeated_output_len;
      scripts.push_back(std::move(script));
    }
  }
  if (options.shuffle) std::shuffle(scripts.begin(), scripts.end(), random);
  return scripts;
}

std::vector<Script> make_scripts(const DatasetOptions& options, const TokenText* text) {
  const auto needed = [&]() -> const TokenText& {
    if (text == nullptr) throw UsageError("--dataset-name {} needs a tokenizer", options.name);
    return *text;
  };
  if (options.name == "random") return random_scripts(options, needed());
  if (options.name == "prefix_repetition") return prefix_repetition_scripts(options, needed());
  if (options.name == "agent") return agent_scripts(options, needed());
  if (options.path.empty()) throw UsageError("--dataset-name {} needs --dataset-path", options.name);
  if (options.name == "sharegpt") return sharegpt_scripts(options, text);
  if (options.name == "custom") return custom_scripts(options, text);
  if (options.name == "burstgpt") return burstgpt_scripts(options, needed());
  if (options.name == "timed_trace") return timed_trace_scripts(options, needed());
  throw UsageError(
      "--dataset-name {} is not offered; there are: random, sharegpt, custom, prefix_repetition, burstgpt, "
      "timed_trace, agent",
      options.name);
}

}  // namespace minimax::bench
