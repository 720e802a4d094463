#include "api/openapi.h"

#include "api/openapi_schemas.h"
#include "base/check.h"

namespace minimax::api {
namespace {

// The parts of the document, as text: it is read more often than it is changed.
constexpr std::string_view kShell = R"json({
 "openapi": "3.1.0", "info": {"title": "minimax", "summary": "Inference of the MiniMax-M2 family", "version": "0"},
 "security": [{}, {"bearer": []}, {"key": []}],
 "components": {
  "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}, "key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
  "parameters": {
   "RequestId": {
    "name": "X-Request-Id", "in": "header", "required": false, "schema": {"type": "string", "maxLength": 256},
    "description": "Becomes the id of the request; echoed."}},
  "responses": {
   "Error": {
    "description": "What was wrong, in a sentence",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
   "MessagesError": {
    "description": "What was wrong, in a sentence",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MessagesError"}}}},
   "MessagesOrConnectionError": {
    "description": "What was wrong, in a sentence; of a body beyond --max-request-bytes or --max-held-request-bytes in the form of Error",
    "content": {"application/json": {"schema": {"anyOf": [{"$ref": "#/components/schemas/MessagesError"},
     {"$ref": "#/components/schemas/Error"}]}}}}}}})json";

constexpr std::string_view kPaths = R"json({
 "/v1/chat/completions": {
  "post": {
   "operationId": "chat", "summary": "Answers a conversation (OpenAI)",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}}},
   "responses": {
    "200": {
     "description": "The answer, or its chunks and [DONE]",
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/ChatCompletion"}},
      "text/event-stream": {}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "429": {"$ref": "#/components/responses/Error"}, "500": {"$ref": "#/components/responses/Error"},
    "503": {"$ref": "#/components/responses/Error"}}}},
 "/v1/chat/completions/render": {
  "post": {
   "operationId": "render", "summary": "The prompt of a conversation, as text and as ids",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}}},
   "responses": {
    "200": {
     "description": "The prompt",
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rendered"}}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "500": {"$ref": "#/components/responses/Error"}}}},
 "/v1/completions": {
  "post": {
   "operationId": "complete", "summary": "Continues texts or ids (OpenAI)",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CompletionRequest"}}}},
   "responses": {
    "200": {
     "description": "The texts, or their chunks and [DONE]",
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/Completion"}},
      "text/event-stream": {}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "429": {"$ref": "#/components/responses/Error"}, "500": {"$ref": "#/components/responses/Error"},
    "503": {"$ref": "#/components/responses/Error"}}}},
 "/v1/messages": {
  "post": {
   "operationId": "messages", "summary": "Answers a conversation (Anthropic)",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MessagesRequest"}}}},
   "responses": {
    "200": {
     "description": "The message, or its events",
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/MessagesAnswer"}},
      "text/event-stream": {}}},
    "400": {"$ref": "#/components/responses/MessagesError"}, "401": {"$ref": "#/components/responses/MessagesError"},
    "404": {"$ref": "#/components/responses/MessagesError"}, "413": {"$ref": "#/components/responses/MessagesOrConnectionError"},
    "429": {"$ref": "#/components/responses/MessagesError"}, "500": {"$ref": "#/components/responses/MessagesError"},
    "503": {"$ref": "#/components/responses/MessagesOrConnectionError"}}}},
 "/v1/messages/count_tokens": {
  "post": {
   "operationId": "count_tokens", "summary": "Tokens of a prompt (Anthropic)",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CountRequest"}}}},
   "responses": {
    "200": {"description": "The count", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Count"}}}},
    "400": {"$ref": "#/components/responses/MessagesError"}, "401": {"$ref": "#/components/responses/MessagesError"},
    "404": {"$ref": "#/components/responses/MessagesError"}, "413": {"$ref": "#/components/responses/MessagesOrConnectionError"},
    "500": {"$ref": "#/components/responses/MessagesError"}}}},
 "/v1/responses": {
  "post": {
   "operationId": "respond", "summary": "Answers items (OpenAI Responses)",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResponsesRequest"}}}},
   "responses": {
    "200": {
     "description": "The response, or its events",
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/Response"}},
      "text/event-stream": {}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "429": {"$ref": "#/components/responses/Error"}, "500": {"$ref": "#/components/responses/Error"},
    "503": {"$ref": "#/components/responses/Error"}}}},
 "/v1/responses/{response_id}": {
  "get": {
   "operationId": "get_response", "summary": "A stored response, or its events again",
   "responses": {
    "200": {
     "description": "The response as it stands",
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/Response"}},
      "text/event-stream": {}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}},
   "parameters": [
    {
     "name": "response_id", "in": "path", "required": true,
     "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}},
    {"name": "stream", "in": "query", "schema": {"type": "boolean"}},
    {"name": "starting_after", "in": "query", "schema": {"type": "integer", "format": "int64"}},
    {
     "name": "include", "in": "query", "style": "form", "explode": true,
     "schema": {"type": "array", "items": {"type": "string", "enum": [
      "message.output_text.logprobs", "reasoning.encrypted_content"]}}}]},
  "delete": {
   "operationId": "delete_response", "summary": "Forgets a response, and ends it if it runs",
   "responses": {
    "200": {"description": "Gone", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Deleted"}}}},
    "401": {"$ref": "#/components/responses/Error"}, "404": {"$ref": "#/components/responses/Error"}},
   "parameters": [
    {
     "name": "response_id", "in": "path", "required": true,
     "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}}]}},
 "/v1/responses/{response_id}/cancel": {
  "post": {
   "operationId": "cancel_response", "summary": "Ends a background response",
   "responses": {
    "200": {
     "description": "The response as it ended",
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Response"}}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}},
   "parameters": [
    {
     "name": "response_id", "in": "path", "required": true,
     "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}}]}},
 "/v1/models": {
  "get": {
   "operationId": "models", "summary": "The models served",
   "responses": {
    "200": {
     "description": "The models", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Models"}}}},
    "401": {"$ref": "#/components/responses/Error"}}}},
 "/v1/models/{model}": {
  "get": {
   "operationId": "model", "summary": "One model",
   "responses": {
    "200": {"description": "The model", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Model"}}}},
    "401": {"$ref": "#/components/responses/Error"}, "404": {"$ref": "#/components/responses/Error"}},
   "parameters": [
    {
     "name": "model", "in": "path", "required": true,
     "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}}]}},
 "/tokenize": {
  "post": {
   "operationId": "tokenize", "summary": "Ids of a text or of a conversation's prompt",
   "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TokenizeRequest"}}}},
   "responses": {
    "200": {"description": "The ids", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tokens"}}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "500": {"$ref": "#/components/responses/Error"}}}},
 "/detokenize": {
  "post": {
   "operationId": "detokenize", "summary": "Text of ids", "parameters": [{"$ref": "#/components/parameters/RequestId"}],
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DetokenizeRequest"}}}},
   "responses": {
    "200": {"description": "The text", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Text"}}}},
    "400": {"$ref": "#/components/responses/Error"}, "401": {"$ref": "#/components/responses/Error"},
    "404": {"$ref": "#/components/responses/Error"}, "413": {"$ref": "#/components/responses/Error"},
    "500": {"$ref": "#/components/responses/Error"}}}},
 "/health": {
  "get": {
   "operationId": "health", "summary": "Whether requests are taken",
   "responses": {"200": {"description": "They are"}, "503": {"$ref": "#/components/responses/Error"}}}},
 "/ping": {
  "get": {
   "operationId": "ping", "summary": "As /health",
   "responses": {"200": {"description": "They are"}, "503": {"$ref": "#/components/responses/Error"}}}},
 "/version": {
  "get": {
   "operationId": "version", "summary": "The version of the program",
   "responses": {
    "200": {
     "description": "The version",
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Version"}}}}}}},
 "/load": {
  "get": {
   "operationId": "load", "summary": "Requests being answered",
   "responses": {
    "200": {"description": "The number", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Load"}}}}}}},
 "/metrics": {
  "get": {
   "operationId": "metrics", "summary": "Metrics for Prometheus",
   "responses": {"200": {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}}}}})json";

Json parsed(std::string_view text) {
  Result<Json> value = parse_json(text);
  CHECK(value.ok());
  return std::move(*value);
}

}  // namespace

Json openapi_document(std::string_view version) {
  Json document = parsed(kShell);
  document.find("info")->set("version", version);
  document.set("paths", parsed(kPaths));
  document.find("components")->set("schemas", parsed(kOpenapiSchemas));
  return document;
}

}  // namespace minimax::api
