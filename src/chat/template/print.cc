#include "chat/template/print.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

// repr of a text whose parts may differ in origin: the quotes count as `from_template` says.
void append_repr(const Text& text, bool from_template, Text& out) {
  const std::string whole = repr(text.bytes());
  if (text.runs().size() <= 1) {
    // Quotes and what they hold have one origin, unless a template's list holds a user's text.
    const bool inside = text.empty() ? from_template : text.from_template(0);
    out.append(whole.substr(0, 1), from_template);
    out.append(std::string_view(whole).substr(1, whole.size() - 2), inside);
    out.append(whole.substr(0, 1), from_template);
    return;
  }
  // Rare: the parts of several origins are escaped one by one, with the quote the whole decided on.
  const char quote = whole[0];
  out.append({&quote, 1}, from_template);
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    // The other quote beside the part makes repr choose as the whole did.
    const std::string guard = quote == '"' ? "'" : "\"'";
    const std::string part = repr(guard + text.bytes().substr(begin, run.end - begin));
    const size_t skip = quote == '"' ? 2 : part.find("\\'") + 2;
    out.append(std::string_view(part).substr(skip, part.size() - skip - 1), run.from_template);
    begin = run.end;
  }
  out.append({&quote, 1}, from_template);
}

class Printer {
 public:
  Printer(Heap& heap, Text& out) : heap_(heap), out_(out) {}

  void repr_value(const Value& value) {
    const Depth depth(depth_, heap_.limits());
    heap_.step();
    const bool from_template = !value.of_user;
    switch (value.kind) {
      case Kind::kText:
        return append_repr(*value.text, from_template_ && from_template, out_);
      case Kind::kList:
        return list(value, from_template);
      case Kind::kDict: {
        const bool outer = std::exchange(from_template_, from_template);
        out_.append("{", from_template);
        const char* separator = "";
        for (const auto& [key, member] : value.dict->items) {
          out_.append(separator, from_template);
          repr_value(key);
          out_.append(": ", from_template);
          repr_value(member);
          separator = ", ";
        }
        out_.append("}", from_template);
        from_template_ = outer;
        return;
      }
      case Kind::kUndefined:
        return out_.append("Undefined", from_template);
      default:
        out_.append(str_of(value, heap_));
    }
  }

 private:
  void list(const Value& value, bool from_template) {
    const List::Kind kind = value.list->kind;
    if (kind != List::Kind::kList && kind != List::Kind::kTuple) {
      fail("'{}' has no text of its own; make a list of it", type_name(value));
    }
    const bool outer = std::exchange(from_template_, from_template);
    const bool tuple = kind == List::Kind::kTuple;
    out_.append(tuple ? "(" : "[", from_template);
    const char* separator = "";
    for (const Value& item : value.list->items) {
      out_.append(separator, from_template);
      repr_value(item);
      separator = ", ";
    }
    if (tuple && value.list->items.size() == 1) out_.append(",", from_template);
    out_.append(tuple ? ")" : "]", from_template);
    from_template_ = outer;
  }

  Heap& heap_;
  Text& out_;
  int depth_ = 0;
  bool from_template_ = true;  // origin of the container around
};

}  // namespace

std::string repr_of_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string out;
  append_json_double(out, value);
  return out;
}

Text str_of(const Value& value, Heap& heap) {
  const bool from_template = !value.of_user;
  switch (value.kind) {
    case Kind::kUndefined:
      return {};
    case Kind::kNone:
      return {"None", from_template};
    case Kind::kBool:
      return {value.boolean ? "True" : "False", from_template};
    case Kind::kInteger:
      return {std::to_string(value.integer), from_template};
    case Kind::kBigInteger:
    case Kind::kText:
      return *value.text;
    case Kind::kFloat:
      return {repr_of_real(value.real), from_template};
    case Kind::kList:
    case Kind::kDict: {
      Text out;
      Printer(heap, out).repr_value(value);
      heap.step(out.size() / 64);
      return out;
    }
    default:
      fail("'{}' has no text of its own", type_name(value));
  }
}

}  // namespace minimax::chat::jinja
