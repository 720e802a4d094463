#pragma once
// A parsed template: one kind of node for statements and expressions, plain data.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace minimax::chat::jinja {

enum class NodeKind : uint8_t {
  kAbsent,  // the place of an optional child that is not there
  // --- expressions. children:
  kConst,      // value
  kName,       // name
  kList,       // items
  kTuple,      // items
  kDict,       // key, value, key, value, ...
  kAttribute,  // object; name
  kItem,       // object, key
  kSlice,      // begin, end, step (each may be absent); only as a key
  kCall,       // callee, kArgument...
  kArgument,   // expression; name is empty for a positional one
  kFilter,     // input (absent for the text of a block), kArgument...; name
  kTest,       // input, kArgument...; name
  kNegate,     // operand
  kPlus,       // operand
  kNot,        // operand
  kBinary,     // left, right; op
  kCompare,    // first, then operands of the kinds of comparison in `ops`
  kConcat,     // operands of ~
  kAnd,        // left, right
  kOr,         // left, right
  kCondition,  // condition, value, other value or absent
  // --- statements
  kBody,         // statements
  kData,         // value: a string of the template
  kOutput,       // expression
  kIf,           // condition, body, condition, body, ..., and a last body if there is an else
  kFor,          // target, iterable, condition or absent, body, else body or absent
  kSet,          // target, expression
  kSetBlock,     // target, filter or absent, body
  kMacro,        // name; kParameter..., body
  kParameter,    // name; default or absent
  kCallBlock,    // call, kMacro of the caller
  kFilterBlock,  // filter, body
  kWith,         // target, expression, ..., body
  kBreak,
  kContinue,
};

enum class Op : uint8_t {
  kNone,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kUnequal,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Node {
  NodeKind kind = NodeKind::kAbsent;
  Op op = Op::kNone;
  int line = 0;
  int depth = 1;  // of the tree below, itself included
  std::string name;
  Json value;
  std::vector<Op> ops;
  std::vector<Node> children;
};

}  // namespace minimax::chat::jinja
