#include "chat/render_python.h"

#include <utf8proc.h>

#include "base/utf8.h"

namespace minimax::chat {
namespace {

// str.isprintable for one character: all but "Other" and "Separator", the space excepted.
bool printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

void append_repr(std::string& out, std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const utf8::Decoded d = utf8::decode(text);
    const char32_t c = d.code_point;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (printable(c)) {
      utf8::append(out, c);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
    text.remove_prefix(static_cast<size_t>(d.bytes));
  }
  out += quote;
}

void append_value(std::string& out, const Json& value) {
  if (value.is_null()) {
    out += "None";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "True" : "False";
  } else if (value.is_string()) {
    append_repr(out, value.as_string());
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
      append_repr(out, key);
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
