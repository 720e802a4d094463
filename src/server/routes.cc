#include "server/routes.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "api/errors.h"
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

struct Route {
  std::string_view path;
  std::string_view methods;  // as the Allow header says it
  Answer (*answer)(Service& service, const Call& call, Notify notify);
};

constexpr std::string_view kGet = "GET, HEAD";
constexpr std::string_view kPost = "POST";
constexpr std::string_view kGetPost = "GET, HEAD, POST";

constexpr std::array kRoutes{
    Route{"/v1/chat/completions", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.chat_completions(call, std::move(notify));
          }},
    Route{"/v1/completions", kPost,
          [](Service& service, const Call& call, Notify notify) {
            return service.completions(call, std::move(notify));
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
    Absent{"/v1/responses", "The Responses API is not offered by this version; use /v1/chat/completions."},
    Absent{"/v1/messages", "The Messages API is not offered by this version; use /v1/chat/completions."},
    Absent{"/v1/chat/completions/",
           "Batched and rendered chat completions are not offered by this version; use "
           "/v1/chat/completions."},
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
  return not_found(call.path);
}

}  // namespace

const std::string* Request::header(std::string_view name) const {
  const auto found =
      std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
  return found == headers.end() ? nullptr : &found->second;
}

Handler make_handler(AccessOptions options, Service& service) {
  return [access = std::make_shared<const Access>(std::move(options)), &service](Request request,
                                                                                 Notify notify) {
    Response response{api::Reply{}, access->cors_headers(request)};
    const std::string* id = request.header("x-request-id");
    if (id != nullptr && id->size() <= kRequestIdBytesMax) response.headers.emplace_back("x-request-id", *id);
    if (std::optional<api::Reply> preflight = access->preflight(request)) {
      response.answer = std::move(*preflight);
      return response;
    }
    Call call;
    const std::string_view target = request.target;
    call.path = percent_decoded(target.substr(0, target.find_first_of("?#")));
    if (request.method != "OPTIONS") {
      if (std::optional<api::Reply> refusal = access->refusal(request, call.path)) {
        response.answer = std::move(*refusal);
        return response;
      }
    }
    call.method = std::move(request.method);
    call.body = std::move(request.body);
    if (id != nullptr && id->size() <= kRequestIdBytesMax) call.request_id = *id;
    response.answer = route(service, call, std::move(notify));
    return response;
  };
}

}  // namespace minimax::server
