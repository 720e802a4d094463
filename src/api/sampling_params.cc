#include "api/sampling_params.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "api/guided.h"

namespace minimax::api {
namespace {

using engine::TokenId;

constexpr double kTemperatureMax = 100;
constexpr double kPenaltyMax = 2;
constexpr double kRepetitionPenaltyMax = 100;
constexpr double kLogitBiasMax = 100;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr size_t kCacheSaltBytesMax = 1024;
constexpr size_t kRequestIdBytesMax = 256;

constexpr std::string_view kOldGuidance = "send structured_outputs instead; this form is no longer read.";

// Fields of the peer that change the answer and are not offered: silence would be a lie.
struct Refused {
  std::string_view name, sentence;
};
constexpr std::array kRefused{
    Refused{"guided_json", kOldGuidance},
    Refused{"guided_regex", kOldGuidance},
    Refused{"guided_choice", kOldGuidance},
    Refused{"guided_grammar", kOldGuidance},
    Refused{"guided_whitespace_pattern", kOldGuidance},
    Refused{"structural_tag", "send it as response_format or in structured_outputs."},
    Refused{"prediction", "predicted outputs are not offered."},
    Refused{"web_search_options", "this server searches nothing; tools run at the client."},
    Refused{"audio", "the model reads and writes text only."},
    Refused{"moderation", "this server moderates nothing."},
    Refused{"logprob_token_ids", "not available in this version; ask for logprobs and top_logprobs."},
    Refused{"kv_transfer_params", "KV transfer between servers is not offered."},
    Refused{"ec_transfer_params", "transfer between servers is not offered."},
    Refused{"repetition_detection", "not available in this version."},
    Refused{"watermarking", "not available in this version."},
};

void refuse_what_is_absent(Fields& fields) {
  for (const Refused& refused : kRefused) fields.refuse(refused.name, refused.sentence);
  if (fields.boolean("use_beam_search").value_or(false)) {
    fields.refuse("use_beam_search", "beam search is not offered; n draws several samples.");
  }
  if (fields.number("length_penalty", -kPenaltyMax * 10, kPenaltyMax * 10).value_or(1.0) != 1.0) {
    fields.refuse("length_penalty", "acts in beam search only, which is not offered.");
  }
  if (fields.integer("best_of", 1, kInt32Max).value_or(1) != 1) {
    fields.refuse("best_of", "samples are not compared here; n draws several.");
  }
  for (const std::string& kind : fields.strings("modalities").value_or(std::vector<std::string>{})) {
    if (kind != "text") fields.refuse("modalities", "the model writes text only.");
  }
  if (const Json* extra = fields.object("vllm_xargs"); extra != nullptr && !extra->as_object().empty()) {
    fields.refuse("vllm_xargs", "there are no extensions that take arguments here.");
  }
}

void read_logit_bias(Fields& fields, const RequestContext& context, executor::SampleSpec& spec) {
  const Json* bias = fields.object("logit_bias");
  if (bias == nullptr) return;
  for (const auto& [key, value] : bias->as_object()) {
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= context.tokenizer.size()) {
      fields.fail("logit_bias",
                  fmt::format("logit_bias has the key {}, but its keys are token ids between 0 and {}.",
                              to_string(Json(key)), context.tokenizer.size() - 1));
      return;
    }
    if (!value.is_number()) {
      fields.fail("logit_bias",
                  fmt::format("logit_bias[{}] must be a number, not {}.", key, value.type_name()));
      return;
    }
    const double clamped = std::clamp(value.as_double(), -kLogitBiasMax, kLogitBiasMax);
    spec.logit_bias.push_back({id, static_cast<float>(clamped)});
  }
}

std::vector<TokenId> token_ids(Fields& fields, std::string_view name, const RequestContext& context) {
  std::vector<TokenId> out;
  for (const int64_t id :
       fields.integers(name, 0, context.tokenizer.size() - 1).value_or(std::vector<int64_t>{})) {
    out.push_back(static_cast<TokenId>(id));
  }
  return out;
}

// A word is masked as it stands at the beginning of a text and as it follows a space, if that begins with
// another token and is as long (the peer's rule, which is that of the Transformers library).
void read_bad_words(Fields& fields, const RequestContext& context, executor::SampleSpec& spec) {
  for (const std::string& word : fields.strings("bad_words").value_or(std::vector<std::string>{})) {
    std::vector<TokenId> plain = context.tokenizer.encode(word, false);
    if (plain.empty()) {
      fields.fail("bad_words", "bad_words must not hold an empty string.");
      return;
    }
    const size_t begin = word.find_first_not_of(' ');
    const std::string spaced = " " + (begin == std::string::npos ? std::string() : word.substr(begin));
    std::vector<TokenId> after_space = context.tokenizer.encode(spaced, false);
    const bool both = after_space.size() == plain.size() && after_space.front() != plain.front();
    spec.bad_words.push_back(std::move(plain));
    if (both) spec.bad_words.push_back(std::move(after_space));
  }
}

void read_stop(Fields& fields, const ServiceOptions& options, GenerationParams& params) {
  const Json* stop = fields.any("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    params.stop.push_back(stop->as_string());
  } else if (stop->is_array()) {
    params.stop = fields.strings("stop").value_or(std::vector<std::string>{});
  } else {
    fields.fail("stop",
                fmt::format("stop must be a string or a list of strings, not {}.", stop->type_name()));
  }
  if (static_cast<int64_t>(params.stop.size()) > options.stop_strings_max) {
    fields.fail("stop", fmt::format("stop holds {} strings; the limit is {} (stop_strings_max).",
                                    params.stop.size(), options.stop_strings_max));
  }
  for (const std::string& text : params.stop) {
    if (text.empty()) fields.fail("stop", "stop must not hold an empty string.");
    if (static_cast<int64_t>(text.size()) > options.stop_string_bytes_max) {
      fields.fail("stop",
                  fmt::format("A string of stop has {} bytes; the limit is {} (stop_string_bytes_max).",
                              text.size(), options.stop_string_bytes_max));
    }
  }
}

void read_sampling(Fields& fields, const RequestContext& context, GenerationParams& params) {
  const SamplingDefaults& defaults = context.options.defaults;
  executor::SampleSpec& spec = params.spec;
  spec.temperature =
      static_cast<float>(fields.number("temperature", 0, kTemperatureMax).value_or(defaults.temperature));
  const double top_p = fields.number("top_p", 0, 1).value_or(defaults.top_p);
  if (top_p <= 0) fields.fail("top_p", "top_p must be above 0 and at most 1.");
  // A tiny top_p must not round to zero: it keeps one token.
  spec.top_p = std::max(static_cast<float>(top_p), std::numeric_limits<float>::min());
  const int64_t top_k =
      fields.integer("top_k", -1, std::numeric_limits<int64_t>::max()).value_or(defaults.top_k);
  spec.top_k = top_k >= context.tokenizer.size() ? 0 : static_cast<int32_t>(std::max<int64_t>(top_k, 0));
  spec.min_p = static_cast<float>(fields.number("min_p", 0, 1).value_or(defaults.min_p));
  const double repetition =
      fields.number("repetition_penalty", 0, kRepetitionPenaltyMax).value_or(defaults.repetition_penalty);
  if (repetition <= 0) fields.fail("repetition_penalty", "repetition_penalty must be above 0.");
  spec.repetition_penalty = static_cast<float>(repetition);
  spec.frequency_penalty =
      static_cast<float>(fields.number("frequency_penalty", -kPenaltyMax, kPenaltyMax).value_or(0));
  spec.presence_penalty =
      static_cast<float>(fields.number("presence_penalty", -kPenaltyMax, kPenaltyMax).value_or(0));
  const std::optional<int64_t> seed =
      fields.integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  params.seed_given = seed.has_value();
  spec.seed = seed ? static_cast<uint64_t>(*seed) : context.next_seed();
  params.n = static_cast<int32_t>(fields.integer("n", 1, context.options.n_max).value_or(1));
  read_logit_bias(fields, context, spec);
  spec.allowed_ids = token_ids(fields, "allowed_token_ids", context);
  if (fields.any("allowed_token_ids") != nullptr && spec.allowed_ids.empty()) {
    fields.fail("allowed_token_ids", "allowed_token_ids must not be an empty list.");
  }
  read_bad_words(fields, context, spec);
}

void read_ends(Fields& fields, const RequestContext& context, GenerationParams& params) {
  executor::SampleSpec& spec = params.spec;
  read_stop(fields, context.options, params);
  params.include_stop_str = fields.boolean("include_stop_str_in_output").value_or(false);
  spec.stop_ids = token_ids(fields, "stop_token_ids", context);
  if (!fields.boolean("ignore_eos").value_or(false)) {
    for (const TokenId id : context.options.eos_ids) {
      if (std::find(spec.stop_ids.begin(), spec.stop_ids.end(), id) == spec.stop_ids.end()) {
        spec.stop_ids.push_back(id);
      }
    }
  }
  spec.min_tokens = static_cast<int32_t>(fields.integer("min_tokens", 0, kInt32Max).value_or(0));
}

void read_answer_options(Fields& fields, const RequestContext& context, GenerationParams& params) {
  params.stream = fields.boolean("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    if (!params.stream && !options->as_object().empty()) {
      fields.fail("stream_options", "stream_options may be given with stream true only.");
    }
    Fields inner(*options, "stream_options.");
    params.include_usage = inner.boolean("include_usage").value_or(false);
    // As in the peer, usage in every chunk comes with usage at the end.
    params.continuous_usage = inner.boolean("continuous_usage_stats").value_or(false) && params.include_usage;
    if (!inner.ok()) fields.adopt(inner.failure());
  }
  if (context.options.force_include_usage) params.include_usage = true;
  params.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  fields.boolean("spaces_between_special_tokens");  // byte-level tokens bring their own spaces
  fields.boolean("add_special_tokens");             // the family's tokenizer adds none
  params.echo = fields.boolean("echo").value_or(false);
  params.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  params.tokens_as_token_ids = fields.boolean("return_tokens_as_token_ids").value_or(false);
  if (const std::optional<int64_t> count = fields.integer("prompt_logprobs", -1, kInt32Max)) {
    if (params.stream && *count != 0) {
      fields.fail("prompt_logprobs", "prompt_logprobs are not available with stream true.");
    }
    params.prompt_logprobs = logprob_count(fields, "prompt_logprobs", *count, context);
  }
}

void read_routing(Fields& fields, const RequestContext& context, GenerationParams& params) {
  params.truncate_prompt_tokens = fields.integer("truncate_prompt_tokens", -1, kInt32Max);
  if (params.truncate_prompt_tokens == 0) {
    fields.fail("truncate_prompt_tokens", "truncate_prompt_tokens must be -1 or at least 1.");
  }
  if (const std::optional<std::string> side = fields.string("truncation_side")) {
    if (*side != "left" && *side != "right") {
      fields.fail("truncation_side", "truncation_side must be left or right.");
    }
    params.truncate_right = *side == "right";
  }
  params.priority = static_cast<int32_t>(fields.integer("priority", -kInt32Max, kInt32Max).value_or(0));
  if (params.priority != 0 && !context.options.priority_scheduling) {
    fields.fail("priority",
                "priority has an effect only if the server runs with --scheduling-policy priority.");
  }
  if (const std::optional<std::string> salt = fields.string("cache_salt")) {
    if (salt->empty() || salt->size() > kCacheSaltBytesMax) {
      fields.fail("cache_salt", fmt::format("cache_salt must have 1 to {} bytes.", kCacheSaltBytesMax));
    }
    params.cache_salt = *salt;
  }
  params.request_id = fields.string("request_id").value_or("");
  if (params.request_id.size() > kRequestIdBytesMax) {
    fields.fail("request_id", fmt::format("request_id may have {} bytes at most.", kRequestIdBytesMax));
  }
  // It is a line's part in the log and a header of the answer.
  if (std::ranges::any_of(params.request_id, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    fields.fail("request_id", "request_id must not hold control characters.");
  }
  if (!context.header_id.empty()) params.request_id = context.header_id;
  if (params.request_id.empty()) params.request_id = make_request_id();
  fields.string("user");  // for the client's own records
}

}  // namespace

std::vector<std::string_view> refused_names() {
  std::vector<std::string_view> out{"use_beam_search", "length_penalty", "best_of", "modalities",
                                    "vllm_xargs"};
  for (const Refused& refused : kRefused) out.push_back(refused.name);
  return out;
}

std::string make_request_id() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{:016x}{:016x}", random(), random());
}

void read_model(Fields& fields, const ServiceOptions& options) {
  const std::optional<std::string> name = fields.string("model");
  if (!name || name->empty()) return;
  const auto& served = options.served_names;
  if (std::find(served.begin(), served.end(), *name) == served.end()) {
    fields.adopt({FailureKind::kNotFound,
                  fmt::format("The model {} does not exist; this server has {}.", to_string(Json(*name)),
                              to_string(Json(served.front()))),
                  "model"});
  }
}

int32_t logprob_count(Fields& fields, std::string_view name, int64_t wanted, const RequestContext& context) {
  const int64_t all = context.tokenizer.size();
  const int64_t count = wanted == -1 ? all : wanted;
  const int64_t max = context.options.logprobs_max == -1 ? all : context.options.logprobs_max;
  if (count > max) {
    fields.fail(
        name, fmt::format("{} asks for {} log-probabilities a token; the limit is {} (--max-logprobs).", name,
                          wanted == -1 ? "all" : std::to_string(wanted), max));
  }
  return static_cast<int32_t>(std::clamp<int64_t>(count, 0, all));
}

GenerationParams read_generation_params(Fields& fields, const RequestContext& context) {
  GenerationParams params;
  read_model(fields, context.options);
  refuse_what_is_absent(fields);
  read_sampling(fields, context, params);
  read_ends(fields, context, params);
  read_answer_options(fields, context, params);
  read_routing(fields, context, params);
  params.constraint = read_constraint(fields);
  const std::optional<int64_t> budget = fields.integer("thinking_token_budget", -1, kInt32Max);
  if (budget && *budget >= 0) params.thinking_token_budget = budget;  // -1: no limit, as in the peer
  return params;
}

Status check_prompt_bytes(const GenerationParams& params, int64_t bytes, const RequestContext& context) {
  const int64_t tokens_min = bytes / std::max<int64_t>(1, context.tokenizer.token_bytes_max());
  if (params.truncate_prompt_tokens || tokens_min < context.context_tokens_max) return {};
  return invalid(
      fmt::format("The prompt has {} bytes, so at least {} tokens, and this model's context ends at {} "
                  "(--max-model-len), the answer included. Shorten the prompt, or let truncate_prompt_tokens "
                  "cut it.",
                  bytes, tokens_min, context.context_tokens_max),
      params.prompt_field);
}

Result<chat::GenerationRequest> make_generation(const GenerationParams& params, std::vector<TokenId> prompt,
                                                std::optional<int64_t> default_max_tokens,
                                                const RequestContext& context) {
  const int64_t context_max = context.context_tokens_max;
  if (params.truncate_prompt_tokens) {
    const int64_t room = std::max<int64_t>(1, context_max - params.max_tokens.value_or(1));
    const int64_t keep = *params.truncate_prompt_tokens == -1 ? room : *params.truncate_prompt_tokens;
    if (keep > context_max) {
      return invalid(
          fmt::format("truncate_prompt_tokens is {}, more than the context of {} tokens.", keep, context_max),
          "truncate_prompt_tokens");
    }
    const auto length = static_cast<int64_t>(prompt.size());
    if (length > keep) {
      if (params.truncate_right) {
        prompt.resize(static_cast<size_t>(keep));
      } else {
        prompt.erase(prompt.begin(), prompt.begin() + (length - keep));
      }
    }
  }
  const auto length = static_cast<int64_t>(prompt.size());
  if (length == 0) return invalid("The prompt is empty; it needs at least one token.", params.prompt_field);
  const int64_t room = context_max - length;
  if (room < 1) {
    return invalid(
        fmt::format("The prompt has {} tokens, and this model's context ends at {} (--max-model-len), the "
                    "answer included. Shorten the prompt, or let truncate_prompt_tokens cut it.",
                    length, context_max),
        params.prompt_field);
  }
  if (params.max_tokens && *params.max_tokens > room && !params.caps_max_tokens) {
    return invalid(
        fmt::format("The prompt has {} tokens and max_tokens is {}: together {}, but this model's context "
                    "ends at {} (--max-model-len). Ask for at most {}, or shorten the prompt.",
                    length, *params.max_tokens, length + *params.max_tokens, context_max, room),
        "max_tokens");
  }
  int64_t max_tokens = std::min(room, default_max_tokens.value_or(room));
  if (params.max_tokens) max_tokens = std::min(*params.max_tokens, room);
  if (const std::optional<int64_t> cap = context.options.defaults.max_tokens)
    max_tokens = std::min(max_tokens, *cap);
  if (params.spec.min_tokens > max_tokens) {
    return invalid(fmt::format("min_tokens is {}, more than the {} tokens that may be generated.",
                               params.spec.min_tokens, max_tokens),
                   "min_tokens");
  }
  chat::GenerationRequest generation;
  generation.request.id = params.request_id;
  generation.request.prompt = std::move(prompt);
  generation.request.max_tokens = static_cast<int32_t>(max_tokens);
  generation.request.n = params.n;
  generation.request.spec = params.spec;
  generation.request.prompt_logprobs = params.prompt_logprobs;
  generation.request.priority = params.priority;
  generation.request.cache_salt = params.cache_salt;
  generation.stop = params.stop;
  generation.eos_ids = context.options.eos_ids;
  generation.include_stop_str = params.include_stop_str;
  generation.skip_special_tokens = params.skip_special_tokens;
  return generation;
}

}  // namespace minimax::api
