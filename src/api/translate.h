#pragma once
// What the other APIs' requests have in common on their way to a chat request: they are rewritten as one, so
// that every API goes through the same checks, the same prompt and the same sampling.

#include <initializer_list>
#include <span>
#include <string_view>

#include "api/fields.h"
#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

// A member that has another name, or another place, in the API the client speaks.
struct Renamed {
  std::string_view chat, wire;
};

// The failure in the client's words: its field, and the name where the sentence begins with it.
Failure in_words_of(std::span<const Renamed> names, Failure failure);

// Copies members that mean the same in both, those that are absent or null left out.
void copy_members(Fields& from, std::initializer_list<std::string_view> names, Json& to);

// Sampling members that chat requests know beyond the API at hand: taken everywhere, as they stand, and
// refused everywhere where chat refuses them. What shapes a chat completion itself has no place in other
// answers: a failure that names it, unless it asks for nothing.
void copy_extensions(Fields& from, Json& to);

// The text of a content that is a string or a list of parts of one of the `types` with a member `text`.
// Parts are joined with `separator`. Anything else is a failure that names the place.
Result<std::string> text_content(const Json& content, std::span<const std::string_view> types,
                                 std::string_view separator, const std::string& place);

}  // namespace minimax::api
