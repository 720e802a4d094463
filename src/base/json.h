#pragma once
// An owned JSON value with the keys of objects in the order they came (tool schemas are rendered in that
// order), a parser (simdjson underneath) and a writer. Numbers keep whether they were written as an integer,
// and integers beyond 64 bits keep their text, so that what a client sends is written back unchanged.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace minimax {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;
  // An integer too large for int64, as written: -?[0-9]+.
  struct BigInteger {
    std::string digits;
    bool operator==(const BigInteger&) const = default;
  };

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<int64_t>(value)) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value);
  Json(double value) : value_(value) {}
  Json(const char* text) : value_(std::string(text)) {}
  Json(std::string_view text) : value_(std::string(text)) {}
  Json(std::string text) : value_(std::move(text)) {}
  Json(BigInteger value) : value_(std::move(value)) {}
  Json(Array items) : value_(std::move(items)) {}
  Json(Object members) : value_(std::move(members)) {}

  static Json object() { return Json(Object{}); }
  static Json object(std::initializer_list<Member> members) { return Json(Object(members)); }
  static Json array() { return Json(Array{}); }

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const {  // written without fraction and exponent
    return std::holds_alternative<int64_t>(value_) || std::holds_alternative<BigInteger>(value_);
  }
  bool is_int64() const { return std::holds_alternative<int64_t>(value_); }
  bool is_double() const { return std::holds_alternative<double>(value_); }
  bool is_number() const { return is_integer() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  std::string_view type_name() const;  // "null", "boolean", "integer", "number", "string", "array", "object"

  // REQUIRES: the value has that type (a bug otherwise: look first).
  bool as_bool() const { return std::get<bool>(value_); }
  int64_t as_int64() const { return std::get<int64_t>(value_); }
  double as_double() const;  // any number
  const std::string& as_string() const { return std::get<std::string>(value_); }
  const BigInteger& as_big_integer() const { return std::get<BigInteger>(value_); }
  bool is_big_integer() const { return std::holds_alternative<BigInteger>(value_); }
  const Array& as_array() const { return std::get<Array>(value_); }
  Array& as_array() { return std::get<Array>(value_); }
  const Object& as_object() const { return std::get<Object>(value_); }
  Object& as_object() { return std::get<Object>(value_); }

  // The member of that name, or nullptr if there is none or this is no object.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  // Adds the member or replaces its value. A null becomes an object first.
  Json& set(std::string_view key, Json value);
  // Appends to an array. A null becomes an array first.
  Json& push_back(Json value);

  bool operator==(const Json& other) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, double, BigInteger, std::string, Array, Object> value_;
};

struct JsonLimits {
  size_t depth_max = 64;
};

// Parses one JSON text (RFC 8259, UTF-8 checked). Of duplicate keys the last value wins and keeps the first's
// place, as in Python. The failure's sentence says what was wrong.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

struct JsonStyle {
  std::string_view item_separator = ",";
  std::string_view key_separator = ":";
  int indent = -1;  // spaces a level; -1: one line
};
// Python's json.dumps(..., ensure_ascii=False) default separators.
inline constexpr JsonStyle kPythonStyle{", ", ": ", -1};

// Bytes that are not UTF-8 are written as U+FFFD. Doubles are written as Python's repr does (1e5 ->
// 100000.0), the shortest text that reads back the same; NaN and infinities as null.
std::string to_string(const Json& value, const JsonStyle& style = {});
void append_json(std::string& out, const Json& value, const JsonStyle& style = {});
// Appends text with quotes and escapes.
void append_json_string(std::string& out, std::string_view text);
// Appends text with escapes but without quotes: for strings that are written piece by piece.
// A piece must not end inside a UTF-8 character.
void append_json_escaped(std::string& out, std::string_view text);
void append_json_double(std::string& out, double value);

}  // namespace minimax
