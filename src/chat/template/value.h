#pragma once
// What expressions yield. Values are small handles; what they point to belongs to the Heap of one render and
// lives as long as it does, so nothing is counted and nothing is freed in between.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "chat/template/ast.h"
#include "chat/template/limits.h"
#include "chat/template/text.h"

namespace minimax::chat::jinja {

// Ends a render: the template or its input asked for something that cannot be done. Never leaves the room.
struct Failed {
  std::string message;
  bool limit = false;  // a named limit was exceeded
};
template <typename... Arguments>
[[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw Failed{fmt::format(format, std::forward<Arguments>(arguments)...)};
}

struct List;
struct Dict;
struct Loop;
struct Macro;
struct Method;

struct Value {
  enum class Kind : uint8_t {
    kUndefined,  // a value of its own: false, prints nothing, is not none; its attributes do not exist
    kNone,
    kBool,
    kInteger,
    kBigInteger,  // text: the digits of an integer beyond 64 bits, as the client sent it
    kFloat,
    kText,
    kList,
    kDict,
    kNamespace,  // dict: the one thing that can be changed
    kLoop,
    kMacro,
    kFunction,  // name
    kMethod,
  };
  Kind kind = Kind::kUndefined;
  // Of values that are not text: they came from the conversation, and so does the text they print as.
  bool of_user = false;
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
    const Text* text;
    List* list;
    Dict* dict;
    Loop* loop;
    const Macro* macro;
    const Method* method;
    const std::string* name;  // of an undefined value (may be null), or of a function
  };

  bool is(Kind k) const { return kind == k; }
  bool is_number() const { return kind == Kind::kInteger || kind == Kind::kFloat || kind == Kind::kBool; }
  bool is_integral() const { return kind == Kind::kInteger || kind == Kind::kBool; }
  int64_t as_integer() const {
    return kind == Kind::kBool ? (boolean ? 1 : 0) : integer;
  }  // REQUIRES: is_integral
  double as_real() const { return kind == Kind::kFloat ? real : static_cast<double>(as_integer()); }
};

Value none_value();
Value bool_value(bool value);
Value integer_value(int64_t value);
Value real_value(double value);
inline Value of_user_if(Value value, bool of_user) {
  value.of_user = value.of_user || of_user;
  return value;
}

struct List {
  enum class Kind : uint8_t {
    kList,
    kTuple,
    kView,       // dict.items() and the like: no brackets, has a length, no places to ask for
    kRange,      // range(): as a view, with places
    kGenerator,  // what map, select and their kin yield: always true, no length, used up by its first reader
  };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  size_t next = 0;  // of a generator: the first item not taken yet
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;  // in the order of insertion
};

struct Loop {
  const std::vector<Value>* items = nullptr;
  size_t idx = 0;
  std::vector<Value> last_changed;
  bool changed_once = false;
};

struct Scope {
  std::vector<std::pair<std::string_view, Value>> names;
  Scope* parent = nullptr;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

struct Macro {
  const Node* node = nullptr;  // kMacro
  Scope* scope = nullptr;      // where it was defined
};

struct Method {
  Value object;
  std::string_view name;
};

// Memory and steps of one render, with their limits.
class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  Value text(Text value);
  Value text(std::string_view value, bool from_template) { return text(Text(value, from_template)); }
  Value list(std::vector<Value> items, List::Kind kind = List::Kind::kList, bool of_user = false);
  Value dict(std::vector<std::pair<Value, Value>> items, bool of_user = false);
  Value undefined(std::string_view name);
  Value method(Value object, std::string_view name);
  Value macro(const Node* node, Scope* scope);
  Value loop(const std::vector<Value>* items);
  Scope* scope(Scope* parent);
  // Deep copy of JSON. from_template: its texts count as the template's own.
  Value of_json(const Json& json, bool from_template);

  void step(size_t count = 1);
  void spend(size_t bytes);
  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  int64_t steps_ = 0;
  size_t bytes_ = 0;
  std::deque<Text> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Loop> loops_;
  std::deque<Macro> macros_;
  std::deque<Method> methods_;
  std::deque<Scope> scopes_;
  std::deque<std::string> names_;
};

// One level of recursion over nested values or nodes; fails beyond depth_max.
class Depth {
 public:
  Depth(int& depth, const Limits& limits);
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

// Python's names: "str", "list", "dict", ...
std::string_view type_name(const Value& value);
bool truth(const Value& value);
// == of Python.
bool equal(const Value& a, const Value& b, Heap& heap, int depth = 0);
// < of Python; fails for values that have no order.
bool less(const Value& a, const Value& b, Heap& heap, int depth = 0);
bool contains(const Value& container, const Value& item, Heap& heap);
// The items of anything that can be iterated over; a generator is used up by it. Fails for other values.
std::vector<Value> items_of(const Value& value, Heap& heap);
// The member of that key, or nullptr.
const Value* find(const Dict& dict, const Value& key, Heap& heap);
const Value* find(const Dict& dict, std::string_view key, Heap& heap);

}  // namespace minimax::chat::jinja
