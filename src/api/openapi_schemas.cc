#include "api/openapi_schemas.h"

namespace minimax::api {

const std::string_view kOpenapiSchemas = R"json({
 "Error": {
  "type": "object",
  "properties": {
   "error": {
    "type": "object",
    "properties": {
     "message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]},
     "code": {"type": "integer"}},
    "required": ["message", "type", "param", "code"]}},
  "required": ["error"]},
 "MessagesError": {
  "type": "object",
  "properties": {
   "type": {"type": "string", "const": "error"},
   "error": {
    "type": "object", "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
    "required": ["type", "message"]},
   "request_id": {"type": ["string", "null"]}},
  "required": ["type", "error"]},
 "Message": {
  "type": "object",
  "properties": {
   "role": {"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]},
   "content": {
    "oneOf": [
     {"type": "string"},
     {
      "type": "array",
      "items": {
       "type": "object",
       "properties": {"type": {"type": "string", "enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}},
       "required": ["type", "text"]}},
     {"type": "null"}]},
   "reasoning": {"type": "string"}, "reasoning_content": {"type": "string"},
   "tool_calls": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "id": {"type": "string"}, "type": {"type": "string", "const": "function"},
      "function": {
       "type": "object", "properties": {"name": {"type": "string", "minLength": 1}, "arguments": {"type": "string"}},
       "required": ["name"]}},
     "required": ["function"]}},
   "tool_call_id": {"type": "string"}},
  "required": ["role"]},
 "Tool": {
  "type": "object",
  "properties": {
   "type": {"type": "string", "const": "function"},
   "function": {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "description": {"type": "string"}, "parameters": {"type": "object"}},
    "required": ["name"]}},
  "required": ["function"]},
 "Usage": {
  "type": "object",
  "properties": {
   "prompt_tokens": {"type": "integer"}, "completion_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"},
   "prompt_tokens_details": {"type": ["object", "null"]}, "completion_tokens_details": {"type": "object"}},
  "required": ["prompt_tokens", "completion_tokens", "total_tokens"]},
 "ChatRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"},
   "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}, "minItems": 1},
   "tools": {"type": "array", "items": {"$ref": "#/components/schemas/Tool"}, "minItems": 1},
   "tool_choice": {
    "oneOf": [
     {"type": "string", "enum": ["none", "auto", "required"]},
     {
      "type": "object",
      "properties": {
       "type": {"type": "string", "const": "function"},
       "function": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
      "required": ["function"]},
     {
      "type": "object",
      "properties": {
       "type": {"type": "string", "const": "allowed_tools"},
       "allowed_tools": {
        "type": "object",
        "properties": {
         "mode": {"type": "string", "enum": ["auto", "required"]},
         "tools": {
          "type": "array", "minItems": 1,
          "items": {
           "type": "object",
           "properties": {
            "function": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
           "required": ["function"]}}},
        "required": ["tools"]}},
      "required": ["type", "allowed_tools"]}]},
   "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
   "top_p": {"type": ["number", "null"], "maximum": 1, "exclusiveMinimum": 0},
   "top_k": {"type": ["integer", "null"], "minimum": -1},
   "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
   "repetition_penalty": {"type": ["number", "null"], "maximum": 100, "exclusiveMinimum": 0},
   "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
   "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
   "seed": {"type": ["integer", "null"], "format": "int64"},
   "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
   "stop": {
    "oneOf": [
     {"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16}]},
   "stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
   "ignore_eos": {"type": ["boolean", "null"]}, "min_tokens": {"type": ["integer", "null"], "minimum": 0},
   "thinking_token_budget": {"type": ["integer", "null"], "minimum": -1},
   "include_stop_str_in_output": {"type": ["boolean", "null"]}, "skip_special_tokens": {"type": ["boolean", "null"]},
   "logit_bias": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
   "allowed_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}, "minItems": 1},
   "bad_words": {"type": ["array", "null"], "items": {"type": "string", "minLength": 1}},
   "stream": {"type": ["boolean", "null"]},
   "stream_options": {
    "type": ["object", "null"],
    "properties": {"include_usage": {"type": "boolean"}, "continuous_usage_stats": {"type": "boolean"}}},
   "prompt_logprobs": {"type": ["integer", "null"], "minimum": -1}, "return_token_ids": {"type": ["boolean", "null"]},
   "return_tokens_as_token_ids": {"type": ["boolean", "null"]}, "echo": {"type": ["boolean", "null"]},
   "truncate_prompt_tokens": {"type": ["integer", "null"], "minimum": -1},
   "truncation_side": {"type": "string", "enum": ["left", "right"]},
   "cache_salt": {"type": ["string", "null"], "minLength": 1, "maxLength": 1024},
   "priority": {"type": ["integer", "null"]}, "request_id": {"type": ["string", "null"], "maxLength": 256},
   "user": {"type": ["string", "null"]}, "max_tokens": {"type": ["integer", "null"], "minimum": 1},
   "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1}, "logprobs": {"type": ["boolean", "null"]},
   "top_logprobs": {"type": ["integer", "null"], "minimum": -1}, "parallel_tool_calls": {"type": ["boolean", "null"]},
   "include_reasoning": {"type": ["boolean", "null"]}, "return_prompt_text": {"type": ["boolean", "null"]},
   "add_generation_prompt": {"type": ["boolean", "null"]}, "continue_final_message": {"type": ["boolean", "null"]},
   "chat_template_kwargs": {"type": ["object", "null"]},
   "reasoning_effort": {"type": "string", "enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max"]}},
  "required": ["messages"]},
 "ChatCompletion": {
  "type": "object",
  "properties": {
   "id": {"type": "string"}, "object": {"type": "string", "const": "chat.completion"}, "created": {"type": "integer"},
   "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"},
   "choices": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "index": {"type": "integer"},
      "message": {
       "type": "object",
       "properties": {
        "role": {"type": "string"}, "content": {"type": ["string", "null"]}, "reasoning": {"type": ["string", "null"]},
        "tool_calls": {"type": "array", "items": {"type": "object"}}},
       "required": ["role", "content"]},
      "finish_reason": {"type": "string", "enum": ["stop", "length", "tool_calls", "abort"]}, "stop_reason": {},
      "logprobs": {"type": ["object", "null"]}},
     "required": ["index", "message", "finish_reason"]}}},
  "required": ["id", "object", "created", "model", "choices", "usage"]},
 "CompletionRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"},
   "prompt": {
    "anyOf": [
     {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1},
     {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
     {
      "type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
      "minItems": 1}]},
   "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
   "top_p": {"type": ["number", "null"], "maximum": 1, "exclusiveMinimum": 0},
   "top_k": {"type": ["integer", "null"], "minimum": -1},
   "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
   "repetition_penalty": {"type": ["number", "null"], "maximum": 100, "exclusiveMinimum": 0},
   "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
   "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
   "seed": {"type": ["integer", "null"], "format": "int64"},
   "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
   "stop": {
    "oneOf": [
     {"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16}]},
   "stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
   "ignore_eos": {"type": ["boolean", "null"]}, "min_tokens": {"type": ["integer", "null"], "minimum": 0},
   "thinking_token_budget": {"type": ["integer", "null"], "minimum": -1},
   "include_stop_str_in_output": {"type": ["boolean", "null"]}, "skip_special_tokens": {"type": ["boolean", "null"]},
   "logit_bias": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
   "allowed_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}, "minItems": 1},
   "bad_words": {"type": ["array", "null"], "items": {"type": "string", "minLength": 1}},
   "stream": {"type": ["boolean", "null"]},
   "stream_options": {
    "type": ["object", "null"],
    "properties": {"include_usage": {"type": "boolean"}, "continuous_usage_stats": {"type": "boolean"}}},
   "prompt_logprobs": {"type": ["integer", "null"], "minimum": -1}, "return_token_ids": {"type": ["boolean", "null"]},
   "return_tokens_as_token_ids": {"type": ["boolean", "null"]}, "echo": {"type": ["boolean", "null"]},
   "truncate_prompt_tokens": {"type": ["integer", "null"], "minimum": -1},
   "truncation_side": {"type": "string", "enum": ["left", "right"]},
   "cache_salt": {"type": ["string", "null"], "minLength": 1, "maxLength": 1024},
   "priority": {"type": ["integer", "null"]}, "request_id": {"type": ["string", "null"], "maxLength": 256},
   "user": {"type": ["string", "null"]}, "max_tokens": {"type": ["integer", "null"], "minimum": 0},
   "logprobs": {"type": ["integer", "null"], "minimum": -1}},
  "required": ["prompt"]},
 "Completion": {
  "type": "object",
  "properties": {
   "id": {"type": "string"}, "object": {"type": "string", "const": "text_completion"}, "created": {"type": "integer"},
   "model": {"type": "string"}, "usage": {"$ref": "#/components/schemas/Usage"},
   "choices": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "index": {"type": "integer"}, "text": {"type": "string"},
      "finish_reason": {"type": "string", "enum": ["stop", "length", "abort"]},
      "logprobs": {"type": ["object", "null"]}},
     "required": ["index", "text", "finish_reason"]}}},
  "required": ["id", "object", "created", "model", "choices", "usage"]},
 "MessagesRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"}, "max_tokens": {"type": "integer", "minimum": 1},
   "messages": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "role": {"type": "string", "enum": ["user", "assistant", "system"]},
      "content": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/Block"}}]}},
     "required": ["role", "content"]},
    "minItems": 1},
   "system": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/TextBlock"}}]},
   "stop_sequences": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16},
   "stream": {"type": "boolean"}, "temperature": {"type": "number", "minimum": 0, "maximum": 100},
   "top_p": {"type": "number", "maximum": 1, "exclusiveMinimum": 0}, "top_k": {"type": "integer", "minimum": -1},
   "tools": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "type": {"type": "string", "const": "custom"}, "name": {"type": "string", "minLength": 1},
      "description": {"type": "string"}, "input_schema": {"type": "object"}, "strict": {"type": "boolean"}},
     "required": ["name", "input_schema"]}},
   "tool_choice": {
    "type": "object",
    "properties": {
     "type": {"type": "string", "enum": ["auto", "any", "tool", "none"]}, "name": {"type": "string"},
     "disable_parallel_tool_use": {"type": "boolean"}},
    "required": ["type"]},
   "thinking": {
    "type": "object",
    "properties": {
     "type": {"type": "string", "enum": ["enabled", "adaptive", "between_tools", "disabled"]},
     "budget_tokens": {"type": "integer", "minimum": 1},
     "display": {"type": "string", "enum": ["summarized", "omitted"]}},
    "required": ["type"]},
   "output_config": {
    "type": "object",
    "properties": {
     "effort": {"type": "string", "enum": ["low", "medium", "high", "xhigh", "max"]},
     "format": {
      "type": "object",
      "properties": {"type": {"type": "string", "const": "json_schema"}, "schema": {"type": "object"}},
      "required": ["type", "schema"]}}},
   "metadata": {"type": "object"}},
  "required": ["messages", "max_tokens"]},
 "TextBlock": {
  "type": "object", "properties": {"type": {"type": "string", "const": "text"}, "text": {"type": "string"}},
  "required": ["type", "text"]},
 "Block": {
  "oneOf": [
   {"$ref": "#/components/schemas/TextBlock"},
   {
    "type": "object",
    "properties": {"type": {"type": "string", "const": "thinking"}, "thinking": {"type": "string"}, "signature": {"type": "string"}},
    "required": ["type", "thinking"]},
   {
    "type": "object",
    "properties": {"type": {"type": "string", "const": "redacted_thinking"}, "data": {"type": "string"}},
    "required": ["type"]},
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "tool_use"}, "id": {"type": "string"},
     "name": {"type": "string", "minLength": 1}, "input": {"type": "object"}},
    "required": ["type", "id", "name", "input"]},
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "tool_result"}, "tool_use_id": {"type": "string"},
     "content": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/TextBlock"}}]},
     "is_error": {"type": "boolean"}},
    "required": ["type", "tool_use_id"]}]},
 "MessagesAnswer": {
  "type": "object",
  "properties": {
   "id": {"type": "string"}, "type": {"type": "string", "const": "message"},
   "role": {"type": "string", "const": "assistant"}, "model": {"type": "string"},
   "content": {
    "type": "array",
    "items": {
     "type": "object", "properties": {"type": {"type": "string", "enum": ["thinking", "text", "tool_use"]}},
     "required": ["type"]}},
   "stop_reason": {
    "type": "string", "enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]},
   "stop_sequence": {"type": ["string", "null"]},
   "usage": {
    "type": "object",
    "properties": {
     "input_tokens": {"type": "integer"}, "output_tokens": {"type": "integer"},
     "cache_read_input_tokens": {"type": "integer"}, "cache_creation_input_tokens": {"type": "integer"}},
    "required": ["input_tokens", "output_tokens"]}},
  "required": ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"]},
 "CountRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"}, "messages": {"$ref": "#/components/schemas/MessagesRequest/properties/messages"},
   "system": {"$ref": "#/components/schemas/MessagesRequest/properties/system"},
   "tools": {"$ref": "#/components/schemas/MessagesRequest/properties/tools"}},
  "required": ["messages"]},
 "Count": {"type": "object", "properties": {"input_tokens": {"type": "integer", "minimum": 1}}, "required": ["input_tokens"]},
 "Item": {
  "oneOf": [
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "message"},
     "role": {"type": "string", "enum": ["user", "assistant", "system", "developer"]},
     "content": {
      "oneOf": [
       {"type": "string"},
       {
        "type": "array",
        "items": {
         "type": "object",
         "properties": {"type": {"type": "string", "enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}},
         "required": ["type", "text"]}}]}},
    "required": ["role", "content"]},
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "reasoning"}, "id": {"type": "string"}, "summary": {"type": "array"},
     "encrypted_content": {"type": ["string", "null"]},
     "content": {
      "type": ["array", "null"],
      "items": {
       "type": "object",
       "properties": {"type": {"type": "string", "const": "reasoning_text"}, "text": {"type": "string"}},
       "required": ["type", "text"]}}},
    "required": ["type"]},
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "function_call"}, "call_id": {"type": "string"},
     "name": {"type": "string", "minLength": 1}, "arguments": {"type": "string"}},
    "required": ["type", "call_id", "name", "arguments"]},
   {
    "type": "object",
    "properties": {
     "type": {"type": "string", "const": "function_call_output"}, "call_id": {"type": "string"},
     "output": {
      "oneOf": [
       {"type": "string"},
       {
        "type": "array",
        "items": {
         "type": "object",
         "properties": {"type": {"type": "string", "enum": ["text", "input_text", "output_text"]}, "text": {"type": "string"}},
         "required": ["type", "text"]}}]}},
    "required": ["type", "call_id", "output"]},
   {
    "type": "object",
    "properties": {"type": {"type": "string", "const": "item_reference"}, "id": {"type": "string"}},
    "required": ["type", "id"]}]},
 "ResponsesRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"},
   "input": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/Item"}, "minItems": 1}]},
   "tools": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "type": {"type": "string", "const": "function"}, "name": {"type": "string", "minLength": 1},
      "description": {"type": ["string", "null"]}, "parameters": {"type": ["object", "null"]},
      "strict": {"type": ["boolean", "null"]}},
     "required": ["type", "name"]}},
   "tool_choice": {
    "oneOf": [
     {"type": "string", "enum": ["none", "auto", "required"]},
     {
      "type": "object", "properties": {"type": {"type": "string", "const": "function"}, "name": {"type": "string"}},
      "required": ["type", "name"]},
     {
      "type": "object",
      "properties": {
       "type": {"type": "string", "const": "allowed_tools"}, "mode": {"type": "string", "enum": ["auto", "required"]},
       "tools": {
        "type": "array", "minItems": 1,
        "items": {
         "type": "object",
         "properties": {"type": {"type": "string", "const": "function"}, "name": {"type": "string"}},
         "required": ["type", "name"]}}},
      "required": ["type", "tools"]}]},
   "instructions": {"type": ["string", "null"]}, "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
   "max_tool_calls": {"type": ["integer", "null"], "minimum": 1}, "parallel_tool_calls": {"type": ["boolean", "null"]},
   "metadata": {"type": ["object", "null"], "maxProperties": 16, "propertyNames": {"maxLength": 64},
     "additionalProperties": {"type": "string", "maxLength": 512}},
   "thinking_token_budget": {"type": ["integer", "null"], "minimum": -1},
   "include": {"type": ["array", "null"], "items": {"type": "string"}},
   "previous_response_id": {"type": ["string", "null"], "minLength": 1}, "store": {"type": ["boolean", "null"]},
   "background": {"type": ["boolean", "null"]}, "stream": {"type": ["boolean", "null"]},
   "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
   "top_p": {"type": ["number", "null"], "maximum": 1, "exclusiveMinimum": 0},
   "top_k": {"type": ["integer", "null"], "minimum": -1}, "top_logprobs": {"type": ["integer", "null"], "minimum": 0},
   "reasoning": {
    "type": ["object", "null"],
    "properties": {
     "effort": {"type": ["string", "null"], "enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max", null]},
     "summary": {"type": ["string", "null"]}}},
   "text": {
    "type": ["object", "null"],
    "properties": {
     "format": {
      "type": "object", "properties": {"type": {"type": "string", "enum": ["text", "json_object", "json_schema"]}},
      "required": ["type"]}}},
   "truncation": {"type": "string", "enum": ["auto", "disabled"]}},
  "required": ["input"]},
 "Response": {
  "type": "object",
  "properties": {
   "id": {"type": "string"}, "object": {"type": "string", "const": "response"}, "created_at": {"type": "integer"},
   "status": {"type": "string", "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
   "model": {"type": "string"},
   "output": {
    "type": "array",
    "items": {
     "type": "object",
     "properties": {
      "type": {"type": "string", "enum": ["reasoning", "message", "function_call"]}, "id": {"type": "string"},
      "status": {"type": "string"}},
     "required": ["type", "id", "status"]}},
   "error": {"type": ["object", "null"]}, "incomplete_details": {"type": ["object", "null"]},
   "usage": {"type": ["object", "null"]}, "tools": {"type": "array"}, "metadata": {"type": "object"},
   "previous_response_id": {"type": ["string", "null"]}, "background": {"type": "boolean"},
   "store": {"type": "boolean"}},
  "required": ["id", "object", "created_at", "status", "model", "output", "tools", "metadata", "usage"]},
 "Deleted": {
  "type": "object",
  "properties": {"id": {"type": "string"}, "object": {"type": "string", "const": "response"}, "deleted": {"type": "boolean"}},
  "required": ["id", "object", "deleted"]},
 "TokenizeRequest": {
  "type": "object",
  "properties": {
   "model": {"type": "string"}, "prompt": {"type": "string"},
   "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}, "minItems": 1},
   "tools": {"type": "array", "items": {"$ref": "#/components/schemas/Tool"}, "minItems": 1},
   "add_generation_prompt": {"type": "boolean"}, "return_token_strs": {"type": ["boolean", "null"]}},
  "anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}]},
 "Tokens": {
  "type": "object",
  "properties": {
   "count": {"type": "integer"}, "max_model_len": {"type": "integer"},
   "tokens": {"type": "array", "items": {"type": "integer"}},
   "token_strs": {"type": ["array", "null"], "items": {"type": "string"}}},
  "required": ["count", "max_model_len", "tokens"]},
 "DetokenizeRequest": {
  "type": "object",
  "properties": {"model": {"type": "string"}, "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
  "required": ["tokens"]},
 "Text": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
 "Model": {
  "type": "object",
  "properties": {
   "id": {"type": "string"}, "object": {"type": "string", "const": "model"}, "created": {"type": "integer"},
   "owned_by": {"type": "string"}, "max_model_len": {"type": "integer"}},
  "required": ["id", "object", "created", "owned_by", "max_model_len"]},
 "Models": {
  "type": "object",
  "properties": {
   "object": {"type": "string", "const": "list"},
   "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}, "minItems": 1}},
  "required": ["object", "data"]},
 "Version": {"type": "object", "properties": {"version": {"type": "string"}}, "required": ["version"]},
 "Load": {"type": "object", "properties": {"server_load": {"type": "integer", "minimum": 0}}, "required": ["server_load"]},
 "Rendered": {
  "type": "object",
  "properties": {
   "prompt": {"type": "string"}, "prompt_token_ids": {"type": "array", "items": {"type": "integer"}},
   "count": {"type": "integer"}, "max_model_len": {"type": "integer"}},
  "required": ["prompt", "prompt_token_ids", "count"]}})json";

}  // namespace minimax::api
