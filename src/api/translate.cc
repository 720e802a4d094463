#include "api/translate.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "api/sampling_params.h"

namespace minimax::api {

Failure in_words_of(std::span<const Renamed> names, Failure failure) {
  for (const Renamed& name : names) {
    if (!failure.param.starts_with(name.chat)) continue;
    failure.param = std::string(name.wire) + failure.param.substr(name.chat.size());
    if (failure.message.starts_with(name.chat)) {
      failure.message = std::string(name.wire) + failure.message.substr(name.chat.size());
    }
    break;
  }
  return failure;
}

namespace {

constexpr std::array<std::string_view, 10> kShapes{
    "n",         "logprobs",         "prompt_logprobs",    "echo",
    "documents", "return_token_ids", "return_prompt_text", "return_tokens_as_token_ids",
    "functions", "chat_template"};

bool asks_for_nothing(std::string_view name, const Json& value) {
  if (name == "n") return value == Json(1);
  return value == Json(false) || (value.is_array() && value.as_array().empty());
}

}  // namespace

void copy_members(Fields& from, std::initializer_list<std::string_view> names, Json& to) {
  for (const std::string_view name : names) {
    if (const Json* value = from.any(name)) to.set(name, *value);
  }
}

void copy_extensions(Fields& from, Json& to) {
  copy_members(from,
               {"seed",
                "min_p",
                "repetition_penalty",
                "frequency_penalty",
                "presence_penalty",
                "logit_bias",
                "ignore_eos",
                "min_tokens",
                "stop_token_ids",
                "bad_words",
                "cache_salt",
                "priority",
                "request_id",
                "chat_template_kwargs",
                "thinking_token_budget",
                "truncate_prompt_tokens",
                "truncation_side",
                "allowed_token_ids",
                "include_stop_str_in_output",
                "skip_special_tokens"},
               to);
  for (const std::string_view name : refused_names()) copy_members(from, {name}, to);
  for (const std::string_view name : kShapes) {
    if (const Json* value = from.any(name); value != nullptr && !asks_for_nothing(name, *value))
      from.refuse(name, "is a field of chat completions; answers of this API have no place for it.");
  }
  for (const std::string_view name : {"include_reasoning", "add_generation_prompt"}) {
    if (!from.boolean(name).value_or(true)) from.refuse(name, "is a field of chat completions.");
  }
  if (from.boolean("continue_final_message").value_or(false))
    from.refuse("continue_final_message", "is a field of chat completions.");
  if (const Json* most = from.any("max_completion_tokens"); most != nullptr && !most->is_null())
    from.refuse("max_completion_tokens",
                "is a field of chat completions; Responses has max_output_tokens, Messages has max_tokens.");
}

Result<std::string> text_content(const Json& content, std::span<const std::string_view> types,
                                 std::string_view separator, const std::string& place) {
  if (content.is_string()) return content.as_string();
  if (!content.is_array()) {
    return invalid(fmt::format("{} must be a string or a list of parts, not {}.", place, content.type_name()),
                   place);
  }
  std::string out;
  for (size_t i = 0; i < content.as_array().size(); ++i) {
    const Json& part = content.as_array()[i];
    const std::string here = fmt::format("{}[{}]", place, i);
    const Json* type = part.find("type");
    if (type == nullptr || !type->is_string()) return invalid(here + " has no type.", here + ".type");
    if (std::ranges::find(types, type->as_string()) == types.end()) {
      return invalid(
          fmt::format("{} has the type {}, but this model reads text only.", here, to_string(*type)),
          here + ".type");
    }
    const Json* text = part.find("text");
    if (text == nullptr || !text->is_string()) {
      return invalid(here + ".text must be a string.", here + ".text");
    }
    if (i > 0) out += separator;
    out += text->as_string();
  }
  return out;
}

}  // namespace minimax::api
