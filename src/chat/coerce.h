#pragma once
// Parameter values arrive as text; the tool's JSON schema says what they are. The order in which types are
// tried is the peer's: null, integer, number, boolean, object, array, string.

#include <cstdint>
#include <string_view>

#include "base/json.h"

namespace minimax::chat {

// What a schema allows, as a set of bits.
struct TypeSet {
  enum Bit : uint8_t {
    kNull = 1,
    kInteger = 2,
    kNumber = 4,
    kBoolean = 8,
    kObject = 16,
    kArray = 32,
    kString = 64
  };
  uint8_t bits = 0;
  bool has(Bit bit) const { return (bits & bit) != 0; }
  // No type at all is a string: what the model wrote, verbatim.
  bool string_only() const { return bits == 0 || bits == kString; }
};

// From type (a name or a list, aliases such as int32, float64, dict and list understood), enum and const
// values, anyOf, oneOf and allOf, recursively, to a bounded depth. `root` is the schema of all parameters: a
// "$ref" ("#/$defs/Name", as pydantic writes it) points into it.
TypeSet types_of(const Json& schema, const Json& root = {});

// The schema of parameter `name` in a function's parameters, also where these refer to others or are made of
// several ("$ref", allOf, anyOf, oneOf); null if there is none.
const Json* find_parameter(const Json& parameters, std::string_view name);

// The value `text` stands for; properties and items of objects and arrays are coerced too. Text that fits
// none of the types stays a string. root: as above.
Json coerce(std::string_view text, const Json& schema, const Json& root = {});

}  // namespace minimax::chat
