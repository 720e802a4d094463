#include "server/routes.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "api/anthropic_errors.h"
#include "api/errors.h"
#include "api/sampling_params.h"
#include "server/access.h"
#include "server/wire_format.h"

namespace minimax::server {
namespace {

using api::Answer;
using api::Call;
using api::Notify;
using api::Service;

constexpr size_t kRequestIdBytesMax = 256;
constexpr std::string_view kModelsPrefix = "/v1/models/";
constexpr std::string_view kResponsesPrefix = "/v1/responses/";
constexpr std::string_view kCancel = "/cancel";

struct Route {
  std::string_view path;
  std::string_view methods;  // as the Allow header says it
  Answer (*answer)(Service& service, const Call& call, Notify notify);
};

constexpr std::string_view kGet = "GET, HEAD";
constexpr std::string_view kPost = "POST";
constexpr std::string_view kGetPost = "GET, HEAD, POST";
constexpr std::string_view kGetDelete = "DELETE, GET, HEAD";

constexpr std::array kRoutes{
    Route{"/v1/chat/completions", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.chat_completions(call, std::move(notify));
          }},
    Route{"/v1/chat/completions/render", kPost,
          [](Service& service, const Call& call, Notify) { return Answer(service.render_chat(call)); }},
    Route{"/openapi.json", kGet,
          [](Service& service, const Call&, Notify) { return Answer(service.openapi()); }},
    Route{"/v1/completions", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.completions(call, std::move(notify));
          }},
    Route{"/v1/messages", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.messages(call, std::move(notify));
          }},
    Route{"/v1/messages/count_tokens", kPost,
          [](Service& service, const Call& call, Notify) { return Answer(service.count_tokens(call)); }},
    Route{"/v1/responses", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.responses(call, std::move(notify));
          }},
    Route{"/v1/models", kGet, [](Service& service, const Call&, Notify) { return Answer(service.models()); }},
    Route{"/tokenize", kPost,
          [](Service& service, const Call& call, Notify) { return Answer(service.tokenize(call)); }},
    Route{"/detokenize", kPost,
          [](Service& service, const Call& call, Notify) { return Answer(service.detokenize(call)); }},
    Route{"/health", kGet, [](Service& service, const Call&, Notify) { return Answer(service.health()); }},
    Route{"/ping", kGetPost, [](Service& service, const Call&, Notify) { return Answer(service.health()); }},
    Route{"/version", kGet, [](Service& service, const Call&, Notify) { return Answer(service.version()); }},
    Route{"/load", kGet, [](Service& service, const Call&, Notify) { return Answer(service.load()); }},
    Route{"/metrics", kGet, [](Service& service, const Call&, Notify) { return Answer(service.metrics()); }},
};

// Known to clients of the peer, and not offered (yet): the reply says so and what to use.
struct Absent {
  std::string_view prefix;
  std::string_view sentence;
};

constexpr std::array kAbsent{
    Absent{"/v1/messages/batches", "Batches are not offered; send the requests to /v1/messages."},
    Absent{"/v1/chat/completions/",
           "Batched chat completions are not offered; send each conversation to /v1/chat/completions."},
    Absent{"/v1/completions/", "Rendered completions are not offered by this version; use /tokenize."},
    Absent{"/inference/v1/generate",
           "Token-level generation is not offered here; /v1/completions takes and "
           "returns token ids (return_token_ids)."},
    Absent{"/abort_requests",
           "Requests are ended by closing their connection; /abort_requests is not offered."},
    Absent{"/tokenizer_info",
           "/tokenizer_info is not offered; the tokenizer is the checkpoint's tokenizer.json."},
    Absent{"/v1/embeddings", "This model writes text; embeddings are not offered."},
    Absent{"/v1/audio", "This model reads and writes text; audio is not offered."},
    Absent{"/v1/load_lora_adapter", "LoRA adapters are not supported."},
    Absent{"/v1/unload_lora_adapter", "LoRA adapters are not supported."},
    Absent{"/scale_elastic_ep", "Scaling at run time is not offered."},
};

bool allows(std::string_view methods, std::string_view method) {
  while (!methods.empty()) {
    const size_t end = methods.find(", ");
    if (methods.substr(0, end) == method) return true;
    if (end == std::string_view::npos) return false;
    methods.remove_prefix(end + 2);
  }
  return false;
}

api::Reply not_found(std::string_view path) {
  for (const Absent& absent : kAbsent) {
    if (path.starts_with(absent.prefix)) return api::error_reply(404, absent.sentence);
  }
  return api::error_reply(404, fmt::format("There is nothing at {}. The API's paths begin with /v1/.", path));
}

Answer method_refusal(std::string_view methods, const std::string& method, std::string_view path) {
  api::Reply reply;
  if (method == "OPTIONS") {
    reply.status = 204;
  } else {
    reply = api::error_reply(405, fmt::format("{} takes {}, not {}.", path, methods, method));
  }
  reply.headers.emplace_back("allow", std::string(methods) + ", OPTIONS");
  return reply;
}

// /v1/responses/ID and /v1/responses/ID/cancel.
Answer route_response(Service& service, const Call& call, Notify notify) {
  std::string id = call.path.substr(kResponsesPrefix.size());
  if (id.ends_with(kCancel)) {
    if (!allows(kPost, call.method)) return method_refusal(kPost, call.method, call.path);
    return service.cancel_response(id.substr(0, id.size() - kCancel.size()));
  }
  if (id.find('/') != std::string::npos) return not_found(call.path);
  if (!allows(kGetDelete, call.method)) return method_refusal(kGetDelete, call.method, call.path);
  if (call.method == "DELETE") return service.delete_response(id);
  return service.response(call, id, std::move(notify));
}

Answer route(Service& service, const Call& call, Notify notify) {
  for (const Route& entry : kRoutes) {
    if (entry.path != call.path) continue;
    if (!allows(entry.methods, call.method)) return method_refusal(entry.methods, call.method, call.path);
    return entry.answer(service, call, std::move(notify));
  }
  if (call.path.starts_with(kModelsPrefix) && call.path.size() > kModelsPrefix.size()) {
    if (!allows(kGet, call.method)) return method_refusal(kGet, call.method, call.path);
    return service.model(call.path.substr(kModelsPrefix.size()));
  }
  if (call.path.starts_with(kResponsesPrefix) && call.path.size() > kResponsesPrefix.size()) {
    return route_response(service, call, std::move(notify));
  }
  return not_found(call.path);
}

// What stands behind the authority of a target in absolute form (RFC 9112, 3.2.2), as proxies send it.
std::string_view without_authority(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const auto same = [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); };
    if (target.size() < scheme.size() || !std::equal(scheme.begin(), scheme.end(), target.begin(), same))
      continue;
    const size_t path = target.find_first_of("/?", scheme.size());
    return path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target;
}

// Fit for a header, and for one line of a log.
bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// A refusal has the shape that the clients of its API know.
api::Reply in_words_of_api(api::Reply reply, const Call& call) {
  return api::speaks_anthropic(call.path) ? api::anthropic_reply(std::move(reply), call.request_id)
                                          : std::move(reply);
}

// The path and the request's id, which is echoed; every answer has one.
Call read_call(const Request& request, HeaderList& headers) {
  Call call;
  const std::string_view target = without_authority(request.target);
  const size_t path_end = std::min(target.find_first_of("?#"), target.size());
  call.path = percent_decoded(target.substr(0, path_end));
  const std::string_view rest = target.substr(path_end);
  if (rest.starts_with('?')) call.query = rest.substr(1, rest.find('#') - 1);
  const std::string* id = request.header("x-request-id");
  if (id != nullptr && id->size() <= kRequestIdBytesMax && is_plain(*id)) {
    call.request_id = *id;
    headers.emplace_back("x-request-id", *id);
  } else {
    headers.emplace_back("x-request-id", api::make_request_id());
  }
  if (api::speaks_anthropic(call.path)) {
    if (call.request_id.empty()) call.request_id = api::make_request_id();
    headers.emplace_back("request-id", call.request_id);
  }
  return call;
}

}  // namespace

const std::string* Request::header(std::string_view name) const {
  const auto found =
      std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
  return found == headers.end() ? nullptr : &found->second;
}

bool may_compile(const Request& request) {
  // A key that is written in escapes is not worth a parse here: it goes with those that may.
  constexpr std::string_view kWords[] = {"structured_outputs", "response_format", "structural_tag",
                                         "\"format\"",         "\"strict\"",      "\\u00"};
  const std::string_view body = request.body;
  for (const std::string_view word : kWords)
    if (body.find(word) != std::string_view::npos) return true;
  constexpr std::string_view kChoice = "\"tool_choice\"";
  size_t at = body.find(kChoice);
  if (at == std::string_view::npos) return false;
  at = body.find_first_not_of(" \t\r\n:", at + kChoice.size());
  const std::string_view value = at == std::string_view::npos ? "" : body.substr(at);
  return !value.starts_with("\"auto\"") && !value.starts_with("\"none\"") && !value.starts_with("null");
}

Gate make_gate(AccessOptions options) {
  return [access = std::make_shared<const Access>(std::move(options))](
             const Request& head) -> std::optional<Response> {
    if (head.method == "OPTIONS") return {};
    Response response{api::Reply{}, access->cors_headers(head)};
    const Call call = read_call(head, response.headers);
    std::optional<api::Reply> refusal = access->refusal(head, call.path);
    if (!refusal) return {};
    response.answer = in_words_of_api(std::move(*refusal), call);
    return response;
  };
}

Handler make_handler(AccessOptions options, Service& service) {
  return [access = std::make_shared<const Access>(std::move(options)), &service](Request request,
                                                                                 Notify notify) {
    Response response{api::Reply{}, access->cors_headers(request)};
    Call call = read_call(request, response.headers);
    if (std::optional<api::Reply> preflight = access->preflight(request)) {
      response.answer = std::move(*preflight);
      return response;
    }
    call.method = std::move(request.method);
    call.body = std::move(request.body);
    response.answer = route(service, call, std::move(notify));
    if (auto* reply = std::get_if<api::Reply>(&response.answer)) {
      *reply = in_words_of_api(std::move(*reply), call);
    }
    return response;
  };
}

}  // namespace minimax::server
