#include "chat/render_python.h"

#include "chat/template/python_text.h"

namespace minimax::chat {
namespace {

void append_value(std::string& out, const Json& value) {
  if (value.is_null()) {
    out += "None";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "True" : "False";
  } else if (value.is_string()) {
    out += jinja::repr(value.as_string());
  } else if (value.is_array()) {
    out += '[';
    const char* separator = "";
    for (const Json& item : value.as_array()) {
      out += separator;
      append_value(out, item);
      separator = ", ";
    }
    out += ']';
  } else if (value.is_object()) {
    out += '{';
    const char* separator = "";
    for (const auto& [key, member] : value.as_object()) {
      out += separator;
      out += jinja::repr(key);
      out += ": ";
      append_value(out, member);
      separator = ", ";
    }
    out += '}';
  } else {
    append_json(out, value);  // numbers: JSON's writer follows repr
  }
}

}  // namespace

std::string python_str(const Json& value) {
  if (value.is_string()) return value.as_string();
  std::string out;
  append_value(out, value);
  return out;
}

bool python_truth(const Json& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.as_bool();
  if (value.is_string()) return !value.as_string().empty();
  if (value.is_array()) return !value.as_array().empty();
  if (value.is_object()) return !value.as_object().empty();
  return value.as_double() != 0;
}

std::string_view strip_left(std::string_view text, char character) {
  const size_t begin = text.find_first_not_of(character);
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

std::string_view strip(std::string_view text, char character) {
  const std::string_view right = strip_left(text, character);
  return right.empty() ? right : right.substr(0, right.find_last_not_of(character) + 1);
}

}  // namespace minimax::chat
