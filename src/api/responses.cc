#include "api/responses.h"

#include <algorithm>

#include <fmt/format.h>

#include "api/errors.h"
#include "api/responses_call.h"
#include "api/responses_request.h"
#include "api/sealed_thinking.h"
#include "api/tokenize.h"
#include "base/clock.h"

namespace minimax::api {
namespace {

// No response has more events: what a client asks for beyond is the end.
constexpr int64_t kEventsMax = int64_t{1} << 40;

Failure unknown(const std::string& id, std::string param) {
  return {FailureKind::kNotFound,
          fmt::format("There is no response {}: it was not stored, was evicted (--response-store-bytes, "
                      "--response-store-seconds) or belongs to an earlier run of the server.",
                      to_string(Json(id))),
          std::move(param)};
}

Reply json_reply(std::string body) {
  Reply reply;
  reply.body = std::move(body);
  return reply;
}

// The response object with reasoning.encrypted_content, as if it had been made so.
std::string with_sealed_thinking(const std::string& body) {
  Result<Json> object = parse_json(body);
  if (!object.ok()) return body;
  for (Json& item : object->find("output")->as_array()) {
    if (*item.find("type") != Json("reasoning") || *item.find("status") == Json("in_progress")) continue;
    std::string text;
    for (const Json& part : item.find("content")->as_array()) text += part.find("text")->as_string();
    item.set("encrypted_content", sealed_thinking(text));
  }
  return to_string(*object);
}

// The messages without the `count` oldest turns; what stands before the first user message stays.
Json without_turns(const Json& messages, size_t count) {
  Json out = Json::array();
  size_t users = 0;
  for (const Json& message : messages.as_array()) {
    users += *message.find("role") == Json("user") ? 1 : 0;
    if (users == 0 || users > count) out.push_back(message);
  }
  return out;
}

size_t turns_of(const Json& messages) {
  size_t users = 0;
  for (const Json& message : messages.as_array()) users += *message.find("role") == Json("user") ? 1 : 0;
  return users;
}

}  // namespace

Responses::Responses(const ServiceOptions& options, const tokenizer::Tokenizer& tokenizer, Metrics& metrics,
                     Begin begin)
    : options_(options),
      tokenizer_(tokenizer),
      metrics_(metrics),
      begin_(std::move(begin)),
      store_({options.response_store_bytes, options.response_store_seconds}) {}

Responses::~Responses() = default;

Result<ResponseHistory> Responses::history_of(const std::string& id) {
  if (id.empty()) return ResponseHistory{};
  const std::shared_ptr<StoredResponse> previous = store_.find(id, now_us());
  if (!previous) return unknown(id, "previous_response_id");
  std::optional<ResponseHistory> history = previous->continued();
  if (!history) {
    return invalid(fmt::format("The response {} cannot be continued: it still runs, failed or was cancelled.",
                               to_string(Json(id))),
                   "previous_response_id");
  }
  return std::move(*history);
}

// The body with each {"type": "item_reference", "id"} of its input replaced by the item of a stored response.
Result<Json> Responses::with_references(const Json& body) {
  Json out = body;
  Json* input = out.find("input");
  if (input == nullptr || !input->is_array()) return out;
  for (size_t i = 0; i < input->as_array().size(); ++i) {
    Json& item = input->as_array()[i];
    const Json* type = item.find("type");
    if (type == nullptr || *type != Json("item_reference")) continue;
    const std::string place = fmt::format("input[{}].id", i);
    const Json* id = item.find("id");
    if (id == nullptr || !id->is_string()) return invalid(place + " must say which item is meant.", place);
    std::optional<Json> found;
    if (const std::shared_ptr<StoredResponse> stored =
            store_.find(response_of_item(id->as_string()), now_us()))
      found = stored->item(id->as_string());
    if (!found) {
      return Failure{FailureKind::kNotFound,
                     fmt::format("There is no item {} in a stored response.", to_string(*id)), place};
    }
    item = std::move(*found);
  }
  return out;
}

Result<ChatRequest> Responses::read(const ResponsesRequest& wire, const ResponseHistory& history,
                                    const RequestContext& context) {
  Json::Array before;
  for (const std::shared_ptr<const ResponseTurn>& turn : history) {
    before.insert(before.end(), turn->messages.begin(), turn->messages.end());
  }
  Json chat = chat_of_response(wire, before);
  // Ids of responses are the server's own: what is stored under one must not be another client's.
  chat.set("request_id", make_request_id());
  if (wire.truncates) {
    const Json all = *chat.find("messages");
    const int64_t room = context.context_tokens_max - 1;
    // How many turns go: the fewest that make it fit, found by halving.
    size_t low = 0, high = turns_of(all) == 0 ? 0 : turns_of(all) - 1;
    while (low < high) {
      const size_t mid = (low + high) / 2;
      Json shorter = chat;
      shorter.set("messages", without_turns(all, mid));
      Fields fields(shorter);
      const Result<std::vector<tokenizer::TokenId>> ids = chat_prompt_ids(fields, context);
      const bool too_large = !ids.ok() && ids.failure().kind == FailureKind::kTooLarge;
      if (!ids.ok() && !too_large) return in_words_of(responses_names(), ids.failure());
      if (!too_large && std::ssize(*ids) <= room) {
        high = mid;
      } else {
        low = mid + 1;
      }
    }
    chat.set("messages", without_turns(all, low));
  }
  Result<ChatRequest> request = read_chat_request(chat, context, {"resp_", "/v1/responses", true});
  if (!request.ok()) return in_words_of(responses_names(), request.failure());
  return request;
}

Answer Responses::create(const Json& body, const RequestContext& context, Notify notify) {
  const Result<Json> whole = with_references(body);
  if (!whole.ok()) return error_reply(whole.failure());
  const Json* previous = whole->find("previous_response_id");
  Result<ResponseHistory> history =
      history_of(previous != nullptr && previous->is_string() ? previous->as_string() : "");
  if (!history.ok()) return error_reply(history.failure());
  Result<ResponsesRequest> wire =
      read_responses_request(*whole, history->empty() ? Json::Array() : history->back()->messages);
  if (!wire.ok()) return error_reply(wire.failure());
  if (wire->background && !store_.enabled()) {
    return error_reply(400,
                       "background needs a store, and this server keeps none (--response-store-bytes 0).",
                       "background");
  }
  Result<ChatRequest> request = read(*wire, *history, context);
  if (!request.ok()) return error_reply(request.failure());

  const std::string id = request->generation.request.id;
  const bool background = wire->background;
  std::shared_ptr<StoredResponse> stored;
  if (wire->store && store_.enabled()) {
    stored =
        std::make_shared<StoredResponse>(id, background, wire->includes, std::move(*history), store_.total());
  }
  Result<Begun> begun = begin_(*request, background ? background_.notifier(stored) : notify);
  if (!begun.ok()) return error_reply(begun.failure());
  const bool stream = wire->stream;
  auto run = std::make_unique<ResponseRun>(std::move(*wire), std::move(*request), std::move(begun->session),
                                           std::move(begun->record), options_, tokenizer_, metrics_);
  if (!background) return std::make_unique<ResponsesCall>(std::move(run), std::move(stored), store_);
  const std::string queued = to_string(run->object());
  stored->start(std::move(run));
  store_.put(stored, now_us());
  background_.wake(stored);
  if (!stream) return json_reply(queued);
  return std::make_unique<ResponseWatch>(std::move(stored), 0, std::move(notify));
}

Answer Responses::get(const std::string& id, const Getting& getting, Notify notify) {
  const Result<ResponseIncludes> wanted = read_includes(getting.include);
  if (!wanted.ok()) return error_reply(wanted.failure());
  std::shared_ptr<StoredResponse> stored = store_.find(id, now_us());
  if (!stored) return error_reply(unknown(id, "response_id"));
  if (wanted->logprobs && !stored->includes().logprobs) {
    return error_reply(400, "The response was made without message.output_text.logprobs.", "include");
  }
  const bool seals = wanted->encrypted_content && !stored->includes().encrypted_content;
  if (!getting.stream) return json_reply(seals ? with_sealed_thinking(stored->body()) : stored->body());
  if (seals) {
    return error_reply(400,
                       "The response was made without reasoning.encrypted_content, so its events have none; "
                       "without stream the response object has it.",
                       "include");
  }
  return std::make_unique<ResponseWatch>(
      std::move(stored), std::clamp(getting.starting_after, int64_t{-1}, kEventsMax) + 1, std::move(notify));
}

Reply Responses::cancel(const std::string& id) {
  const std::shared_ptr<StoredResponse> stored = store_.find(id, now_us());
  if (!stored) return error_reply(unknown(id, "response_id"));
  if (!stored->background()) {
    return error_reply(400, "Cannot cancel a synchronous response.", "response_id");
  }
  if (!stored->cancel()) {
    return error_reply(400, "Cannot cancel a response that has ended.", "response_id");
  }
  return json_reply(stored->body());
}

Reply Responses::remove(const std::string& id) {
  const std::shared_ptr<StoredResponse> stored = store_.remove(id);
  if (!stored) return error_reply(unknown(id, "response_id"));
  stored->cancel();
  return json_reply(to_string(Json::object({{"id", id}, {"object", "response"}, {"deleted", true}})));
}

}  // namespace minimax::api
