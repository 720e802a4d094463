#include "api/openai_completions.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "api/chat_request.h"
#include "api/errors.h"
#include "api/guided.h"
#include "api/openai_chat.h"
#include "base/clock.h"

namespace minimax::api {
namespace {

using engine::TokenId;

constexpr int64_t kDefaultMaxTokens = 16;

int64_t characters(std::string_view text) {
  // Bytes that do not continue a character begin one.
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

Json ids_json(const std::vector<TokenId>& ids) {
  return Json(Json::Array(ids.begin(), ids.end()));
}

std::vector<TokenId> read_ids(Fields& fields, const Json::Array& items, const std::string& place,
                              const RequestContext& context) {
  std::vector<TokenId> ids;
  for (const Json& item : items) {
    if (!item.is_int64() || item.as_int64() < 0 || item.as_int64() >= context.tokenizer.size()) {
      fields.fail("prompt", fmt::format("{} holds {}, but token ids are integers between 0 and {}.", place,
                                        item.is_number() ? to_string(item) : std::string(item.type_name()),
                                        context.tokenizer.size() - 1));
      return {};
    }
    ids.push_back(static_cast<TokenId>(item.as_int64()));
  }
  return ids;
}

struct Prompt {
  std::vector<TokenId> ids;
  std::string text;
};

Prompt read_prompt(Fields& fields, const Json& value, const std::string& place, const RequestContext& context,
                   const GenerationParams& params) {
  Prompt prompt;
  if (value.is_string()) {
    const Status fits = check_prompt_bytes(params, std::ssize(value.as_string()), context);
    if (!fits.ok()) {
      fields.adopt(fits.failure());
      return {};
    }
    prompt.text = value.as_string();
    prompt.ids = context.tokenizer.encode(prompt.text, true);
  } else if (value.is_array()) {
    prompt.ids = read_ids(fields, value.as_array(), place, context);
    if (params.echo) prompt.text = context.tokenizer.decode(prompt.ids, false);
  } else {
    fields.fail("prompt",
                fmt::format("{} must be a string or a list of token ids, not {}.", place, value.type_name()));
  }
  return prompt;
}

// A string, a list of strings, a list of ids or a list of lists of ids.
std::vector<Prompt> read_prompts(Fields& fields, const RequestContext& context,
                                 const GenerationParams& params) {
  std::vector<Prompt> prompts;
  const Json* value = fields.any("prompt");
  if (value == nullptr) {
    fields.fail("prompt", "The request has no prompt.");
    return prompts;
  }
  const bool list = value->is_array() && !value->as_array().empty() && !value->as_array().front().is_number();
  if (value->is_array() && value->as_array().empty()) {
    fields.fail("prompt", "prompt must not be an empty list.");
  } else if (!list) {
    prompts.push_back(read_prompt(fields, *value, "prompt", context, params));
  } else if (static_cast<int64_t>(value->as_array().size()) > context.options.prompts_max) {
    fields.fail("prompt", fmt::format("The request has {} prompts; the limit is {} (prompts_max).",
                                      value->as_array().size(), context.options.prompts_max));
  } else {
    for (size_t i = 0; i < value->as_array().size() && fields.ok(); ++i) {
      prompts.push_back(
          read_prompt(fields, value->as_array()[i], fmt::format("prompt[{}]", i), context, params));
    }
  }
  return prompts;
}

void read_logprobs(Fields& fields, const RequestContext& context, CompletionRequest& request) {
  const std::optional<int64_t> count = fields.integer("logprobs", -1, std::numeric_limits<int32_t>::max());
  if (!count) return;
  request.logprobs = logprob_count(fields, "logprobs", *count, context);
  request.params.spec.logprobs = *request.logprobs;
  if (request.params.echo) {
    request.params.prompt_logprobs = std::max(request.params.prompt_logprobs, *request.logprobs);
  }
}

}  // namespace

Result<CompletionRequest> read_completion_request(const Json& body, const RequestContext& context) {
  Fields fields(body);
  CompletionRequest request;
  request.params = read_generation_params(fields, context);
  request.params.prompt_field = "prompt";
  fields.refuse("suffix", "filling in the middle is not something this model was trained for.");
  fields.refuse("prompt_embeds", "embeddings are not taken as prompts; send text or token ids.");
  request.params.max_tokens = fields.integer("max_tokens", 0, std::numeric_limits<int32_t>::max());
  if (request.params.max_tokens == 0) {
    if (!request.params.echo) fields.fail("max_tokens", "max_tokens 0 makes sense with echo true only.");
    request.echo_only = true;
    request.params.max_tokens = 1;
  }
  read_logprobs(fields, context, request);
  std::vector<Prompt> prompts = read_prompts(fields, context, request.params);
  if (!fields.ok()) return fields.failure();
  log_unread(fields, "/v1/completions");
  for (size_t i = 0; i < prompts.size(); ++i) {
    // Without a seed of the client's, prompts of one request do not share their noise.
    if (i > 0 && !request.params.seed_given) request.params.spec.seed = context.next_seed();
    const size_t whole = prompts[i].ids.size();
    Result<chat::GenerationRequest> generation =
        make_generation(request.params, std::move(prompts[i].ids), kDefaultMaxTokens, context);
    if (!generation.ok()) return generation.failure();
    generation->request.id = fmt::format("cmpl-{}-{}", request.params.request_id, i);
    if (const Status guided = add_guide(request.params, false, context, *generation); !guided.ok())
      return guided.failure();
    const std::vector<TokenId>& kept = generation->request.prompt;
    if (request.params.echo && kept.size() < whole) prompts[i].text = context.tokenizer.decode(kept, false);
    request.prompts.push_back({std::move(*generation), std::move(prompts[i].text)});
  }
  return request;
}

CompletionCall::CompletionCall(CompletionRequest request,
                               std::vector<std::unique_ptr<chat::Session>> sessions,
                               std::unique_ptr<CallRecord> record, const ServiceOptions& options,
                               const tokenizer::Tokenizer& tokenizer)
    : request_(std::move(request)),
      sessions_(std::move(sessions)),
      running_(sessions_.size(), true),
      record_(std::move(record)),
      options_(options),
      style_{tokenizer, request_.params.tokens_as_token_ids, request_.logprobs.value_or(0)},
      created_(unix_seconds()),
      choices_(request_.prompts.size() * static_cast<size_t>(request_.params.n), Choice(style_)) {
  chunk_head_ = "{\"id\":";
  append_json_string(chunk_head_, record_->id());
  chunk_head_ += fmt::format(",\"object\":\"text_completion\",\"created\":{},\"model\":", created_);
  append_json_string(chunk_head_, options_.served_names.front());
  chunk_head_ += ",\"choices\":[";
}

bool CompletionCall::poll(std::vector<Event>& events) {
  if (ended_) return false;
  bool more = false;
  for (size_t p = 0; p < sessions_.size(); ++p) {
    if (!running_[p]) continue;
    updates_.clear();
    running_[p] = sessions_[p]->poll(updates_);
    more = more || running_[p];
    for (const chat::Update& update : updates_) {
      if (update.finish) record_->sample_finished(update.finish->reason);
      if (update.finish && update.finish->reason == engine::FinishReason::kError) {
        failure_ = failure_of(*update.finish);
        if (streams()) {
          events.push_back(error_event(*failure_));
          events.emplace_back("[DONE]");
        }
        end("error");
        sessions_.clear();
        return false;
      }
      take(p, update, events);
    }
  }
  if (more) return true;
  if (streams()) {
    if (request_.params.include_usage) {
      events.push_back(chunk_head_ + "],\"usage\":" +
                       to_string(usage_json(total_usage(), options_.prompt_tokens_details, false)) + "}");
    }
    events.emplace_back("[DONE]");
  }
  std::string_view reason = "none";
  for (const Choice& choice : choices_) {
    if (choice.finish) reason = finish_reason(*choice.finish);
  }
  end(reason);
  return false;
}

void CompletionCall::end(std::string_view reason) {
  ended_ = true;
  record_->finish(total_usage(), reason);
}

void CompletionCall::take(size_t prompt_idx, const chat::Update& update, std::vector<Event>& events) {
  const size_t index =
      prompt_idx * static_cast<size_t>(request_.params.n) + static_cast<size_t>(update.sample_idx);
  Choice& choice = choices_[index];
  const bool first = !choice.begun;
  if (first) begin_choice(prompt_idx, choice);
  if (!request_.echo_only) add_tokens(update, choice);
  if (update.finish) choice.finish = update.finish;
  if (update.finish && request_.echo_only) choice.finish->reason = engine::FinishReason::kLength;
  if (!streams()) return;
  // A chunk a token, be its text empty or not: the peer's clients count them.
  if (update.tokens.empty() && update.delta.content.empty() && !update.finish) return;
  events.push_back(chunk(prompt_idx, index, first));
}

void CompletionCall::begin_choice(size_t prompt_idx, Choice& choice) {
  choice.begun = true;
  if (!request_.params.echo) return;
  const CompletionPrompt& prompt = request_.prompts[prompt_idx];
  choice.text = prompt.text;
  if (request_.logprobs) {
    const engine::PromptInfo info = sessions_[prompt_idx]->prompt_info();
    const std::vector<TokenId>& ids = prompt.generation.request.prompt;
    int64_t offset = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool known = i > 0 && i <= info.prompt_logprobs.size();
      choice.logprobs.add(ids[i], known ? &info.prompt_logprobs[i - 1] : nullptr, offset);
      offset += characters(style_.tokenizer.bytes(ids[i]));
    }
  }
  choice.offset = characters(prompt.text);
}

void CompletionCall::add_tokens(const chat::Update& update, Choice& choice) {
  choice.text += update.delta.content;
  choice.tokens += static_cast<int64_t>(update.tokens.size());
  for (const chat::TokenInfo& token : update.tokens) {
    if (request_.params.return_token_ids) choice.token_ids.push_back(token.id);
    if (!request_.logprobs) continue;
    choice.logprobs.add(token.id, token.has_logprobs ? &token.logprobs : nullptr, choice.offset);
    choice.offset += characters(style_.tokenizer.bytes(token.id));
  }
}

std::string CompletionCall::chunk(size_t prompt_idx, size_t index, bool first) {
  Choice& choice = choices_[index];
  std::string out = chunk_head_;
  out += fmt::format("{{\"index\":{},\"text\":", index);
  append_json_string(out, choice.text);
  out += ",\"logprobs\":";
  if (choice.logprobs.empty()) {
    out += "null";
  } else {
    choice.logprobs.take(out);
  }
  out += ",\"finish_reason\":";
  append_json(out, choice.finish ? Json(finish_reason(*choice.finish)) : Json());
  out += ",\"stop_reason\":";
  append_json(out, choice.finish ? stop_reason(*choice.finish) : Json());
  if (request_.params.return_token_ids) {
    out += ",\"token_ids\":";
    append_json(out, ids_json(choice.token_ids));
    if (first) {
      out += ",\"prompt_token_ids\":";
      append_json(out, ids_json(request_.prompts[prompt_idx].generation.request.prompt));
    }
  }
  out += "}]";
  if (request_.params.continuous_usage) {
    chat::Usage usage;
    usage.prompt_tokens = static_cast<int64_t>(request_.prompts[prompt_idx].generation.request.prompt.size());
    usage.completion_tokens = choice.tokens;
    out += ",\"usage\":";
    append_json(out, usage_json(usage, false, false));
  }
  out += '}';
  choice.text.clear();
  choice.token_ids.clear();
  return out;
}

// Written piece by piece: log-probabilities of many samples would be a large tree of JSON.
void CompletionCall::append_choice(std::string& out, size_t prompt_idx, size_t index) {
  Choice& choice = choices_[index];
  const std::vector<TokenId>& prompt = request_.prompts[prompt_idx].generation.request.prompt;
  out += fmt::format("{{\"index\":{},\"text\":", index);
  append_json_string(out, choice.text);
  out += ",\"logprobs\":";
  if (request_.logprobs) {
    choice.logprobs.take(out);
  } else {
    out += "null";
  }
  out += ",\"finish_reason\":";
  append_json(out, choice.finish ? Json(finish_reason(*choice.finish)) : Json());
  out += ",\"stop_reason\":";
  append_json(out, choice.finish ? stop_reason(*choice.finish) : Json());
  out += ",\"token_ids\":";
  append_json(out, request_.params.return_token_ids ? ids_json(choice.token_ids) : Json());
  out += ",\"prompt_logprobs\":";
  if (request_.params.prompt_logprobs >= 0) {
    append_prompt_logprobs(out, prompt, sessions_[prompt_idx]->prompt_info().prompt_logprobs,
                           style_.tokenizer);
  } else {
    out += "null";
  }
  out += ",\"prompt_token_ids\":";
  append_json(out, request_.params.return_token_ids ? ids_json(prompt) : Json());
  out += '}';
}

chat::Usage CompletionCall::total_usage() const {
  chat::Usage total;
  for (const auto& session : sessions_) {
    const chat::Usage usage = session->usage();
    total.prompt_tokens += usage.prompt_tokens;
    total.cached_tokens += usage.cached_tokens;
    total.completion_tokens += request_.echo_only ? 0 : usage.completion_tokens;
  }
  return total;
}

Reply CompletionCall::reply() {
  if (failure_) return error_reply(*failure_);
  const auto n = static_cast<size_t>(request_.params.n);
  Reply reply;
  std::string& out = reply.body;
  out += chunk_head_;
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (i > 0) out += ',';
    append_choice(out, i / n, i);
  }
  out += "],\"service_tier\":null,\"system_fingerprint\":null,\"usage\":";
  append_json(out, usage_json(total_usage(), options_.prompt_tokens_details, false));
  out += ",\"kv_transfer_params\":null}";
  return reply;
}

}  // namespace minimax::api
