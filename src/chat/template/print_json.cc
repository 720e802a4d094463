#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "chat/template/print.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

std::string ascii_escaped(std::string_view text) {
  std::string plain;
  append_json_escaped(plain, text);
  std::string out;
  std::string_view rest = plain;
  while (!rest.empty()) {
    const utf8::Decoded d = utf8::decode(rest);
    const auto c = static_cast<uint32_t>(d.code_point);
    if (c < 0x80) {
      if (c == 0x7F) {
        out += "\\u007f";
      } else {
        out += static_cast<char>(c);
      }
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out +=
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
    rest.remove_prefix(static_cast<size_t>(d.bytes));
  }
  return out;
}

class JsonWriter {
 public:
  JsonWriter(const JsonFormat& format, Heap& heap, Text& out) : format_(format), heap_(heap), out_(out) {
    item_separator_ = format.item_separator ? *format.item_separator : Text(format.indent ? "," : ", ", true);
    key_separator_ = format.key_separator ? *format.key_separator : Text(": ", true);
  }

  void value(const Value& value, int level, bool of_user_around) {
    const Depth depth(depth_, heap_.limits());
    heap_.step();
    const bool from_template = !(value.of_user || of_user_around);
    switch (value.kind) {
      case Kind::kNone:
        return out_.append("null", !value.of_user);
      case Kind::kBool:
        return out_.append(value.boolean ? "true" : "false", !value.of_user);
      case Kind::kFloat:
        return out_.append(real(value.real), !value.of_user);
      case Kind::kInteger:
      case Kind::kBigInteger:
        return out_.append(str_of(value, heap_));
      case Kind::kText:
        return text(*value.text, !of_user_around);
      case Kind::kList:
        if (value.list->kind == List::Kind::kList || value.list->kind == List::Kind::kTuple) {
          return list(value, level, from_template);
        }
        break;
      case Kind::kDict:
        return dict(value, level, from_template);
      default:
        break;
    }
    fail("tojson cannot write a value of type '{}'", type_name(value));
  }

 private:
  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return repr_of_real(value);
  }

  // Runs end between characters, so each can be escaped alone.
  void text(const Text& text, bool quotes_from_template) {
    const bool quotes = text.empty() ? quotes_from_template : quotes_from_template && text.from_template(0);
    out_.append("\"", quotes);
    size_t begin = 0;
    for (const Text::Run& run : text.runs()) {
      const std::string_view part = std::string_view(text.bytes()).substr(begin, run.end - begin);
      std::string escaped;
      if (format_.ensure_ascii) {
        escaped = ascii_escaped(part);
      } else {
        append_json_escaped(escaped, part);
      }
      out_.append(escaped, run.from_template);
      begin = run.end;
    }
    out_.append("\"", quotes);
  }

  void line(int level, bool from_template) {
    if (!format_.indent) return;
    out_.append("\n", from_template);
    for (int i = 0; i < level; ++i) out_.append(*format_.indent);
    heap_.step(static_cast<size_t>(level));
  }

  void separator(const Text& text, bool from_template) {
    if (from_template) return out_.append(text);
    out_.append(text.bytes(), false);
  }

  void list(const Value& value_of_list, int level, bool from_template) {
    const std::vector<Value>& items = value_of_list.list->items;
    out_.append("[", from_template);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) separator(item_separator_, from_template);
      line(level + 1, from_template);
      value(items[i], level + 1, !from_template);
    }
    if (!items.empty()) line(level, from_template);
    out_.append("]", from_template);
  }

  void dict(const Value& value_of_dict, int level, bool from_template) {
    std::vector<std::pair<Value, Value>> items = value_of_dict.dict->items;
    if (format_.sort_keys) {
      std::ranges::stable_sort(items,
                               [&](const auto& a, const auto& b) { return less(a.first, b.first, heap_); });
    }
    out_.append("{", from_template);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) separator(item_separator_, from_template);
      line(level + 1, from_template);
      key(items[i].first, !from_template);
      separator(key_separator_, from_template);
      value(items[i].second, level + 1, !from_template);
    }
    if (!items.empty()) line(level, from_template);
    out_.append("}", from_template);
  }

  void key(const Value& key, bool of_user_around) {
    if (key.is(Kind::kText)) return text(*key.text, !of_user_around);
    Text plain;
    std::swap(plain, out_);
    value(key, 0, of_user_around);
    std::swap(plain, out_);
    const bool scalar =
        key.is(Kind::kNone) || key.is(Kind::kBool) || key.is(Kind::kInteger) || key.is(Kind::kFloat);
    if (!scalar) fail("tojson cannot write a key of type '{}'", type_name(key));
    text(plain, !of_user_around);
  }

  const JsonFormat& format_;
  Heap& heap_;
  Text& out_;
  Text item_separator_, key_separator_;
  int depth_ = 0;
};

}  // namespace

Text json_of(const Value& value, const JsonFormat& format, Heap& heap) {
  Text out;
  JsonWriter(format, heap, out).value(value, 0, false);
  heap.step(out.size() / 64);
  return out;
}

}  // namespace minimax::chat::jinja
