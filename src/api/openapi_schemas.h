#pragma once
// components.schemas of the OpenAPI document, as text: what requests and answers look like.

#include <string_view>

namespace minimax::api {

extern const std::string_view kOpenapiSchemas;

}  // namespace minimax::api
