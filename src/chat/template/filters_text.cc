// Filters that yield strings or numbers.

#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "chat/template/access.h"
#include "chat/template/filters.h"
#include "chat/template/methods.h"
#include "chat/template/print.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

using Kind = Value::Kind;

Value text_filter(std::string_view name, const Value& input, const Arguments& arguments, Heap& heap,
                  Text (*change)(const Text&)) {
  bind(name, arguments, {});
  return heap.text(change(str_of(input, heap)));
}

Value upper_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return text_filter("upper", input, arguments, heap, upper);
}
Value lower_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return text_filter("lower", input, arguments, heap, lower);
}
Value capitalize_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return text_filter("capitalize", input, arguments, heap, capitalize);
}
Value string_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return text_filter("string", input, arguments, heap, [](const Text& text) { return text; });
}

// Words begin after space, hyphens and opening brackets.
Value title_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  return text_filter("title", input, arguments, heap, [](const Text& text) {
    Text out;
    bool begins = true;
    size_t begin = 0;  // of the word's rest
    const std::vector<size_t> offsets = char_offsets(text.bytes());
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
      const char32_t c = utf8::decode(std::string_view(text.bytes()).substr(offsets[i])).code_point;
      const bool splits = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
      if (splits) {
        out.append(lower(text.slice(begin, offsets[i])));
        out.append(text, offsets[i], offsets[i + 1]);
        begin = offsets[i + 1];
      } else if (begins) {
        out.append(upper(text.slice(offsets[i], offsets[i + 1])));
        begin = offsets[i + 1];
      }
      begins = splits;
    }
    out.append(lower(text.slice(begin, text.size())));
    return out;
  });
}

Value trim_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("trim", arguments, {"chars"});
  const Text given = str_of(input, heap);
  if (!bound[0] || bound[0]->is(Kind::kNone)) return heap.text(strip(given, true, true, {}));
  const std::string& chars = text("trim", *bound[0]).bytes();
  return heap.text(chars.empty() ? given : strip(given, true, true, chars));
}

Value replace_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("replace", arguments, {"old", "new", "count"});
  if (!bound[0] || !bound[1]) fail("'replace' needs two strings");
  const bool all = !bound[2] || bound[2]->is(Kind::kNone);
  return heap.text(replace(str_of(input, heap), str_of(*bound[0], heap), str_of(*bound[1], heap),
                           all ? -1 : integer("replace", bound[2], -1), heap));
}

Value indent_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("indent", arguments, {"width", "first", "blank"});
  Text indent;
  if (bound[0] && bound[0]->is(Kind::kText)) {
    indent = *bound[0]->text;
  } else {
    const int64_t width = integer("indent", bound[0], 4);
    if (width > 1024) fail("'indent' is limited to 1024 columns");
    indent = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), true);
  }
  Text given = text("indent", input);
  given.append("\n", true);  // so that the last line is one
  const bool blank = flag(bound[2], false);
  Text out;
  if (flag(bound[1], false)) out.append(indent);
  bool first = true;
  for (const Value& line : split_lines(given, false, heap)) {
    if (!first) {
      out.append("\n", true);
      if (blank || !line.text->empty()) out.append(indent);
    }
    first = false;
    out.append(*line.text);
  }
  if (out.size() > given.size()) heap.spend(out.size());
  return heap.text(std::move(out));
}

Value tojson_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonFormat format;
  format.ensure_ascii = flag(bound[0], false);
  format.sort_keys = flag(bound[3], false);
  if (bound[1] && bound[1]->is(Kind::kText)) {
    format.indent = *bound[1]->text;
  } else if (bound[1] && !bound[1]->is(Kind::kNone)) {
    const int64_t width = integer("tojson", bound[1], 0);
    if (width > 64) fail("'tojson' indents by at most 64 columns");
    format.indent = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), true);
  }
  if (bound[2] && !bound[2]->is(Kind::kNone)) {
    const std::vector<Value> both = items_of(*bound[2], heap);
    if (both.size() != 2) fail("'tojson' needs two separators");
    format.item_separator = text("tojson", both[0]);
    format.key_separator = text("tojson", both[1]);
  }
  return heap.text(json_of(input, format, heap));
}

// --- numbers

std::optional<double> parse_real(std::string_view text) {
  const Range range = stripped(text, true, true);
  text = text.substr(range.begin, range.end - range.begin);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.starts_with('+')) return {};
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || code == std::errc::invalid_argument) return {};
  return value;
}

std::optional<int64_t> parse_integer(std::string_view text) {
  const Range range = stripped(text, true, true);
  text = text.substr(range.begin, range.end - range.begin);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return {};
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range) fail("an integer is beyond 64 bits");
  if (code != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

std::optional<int64_t> truncated(double value) {
  if (!std::isfinite(value)) return {};
  if (std::fabs(value) >= 9.2e18) fail("an integer is beyond 64 bits");
  return static_cast<int64_t>(value);
}

Value int_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  (void)heap;
  const auto bound = bind("int", arguments, {"default", "base"});
  if (integer("int", bound[1], 10) != 10) fail("'int' knows base 10 only");
  if (input.is(Kind::kUndefined)) fail_undefined(input);
  const Value otherwise = bound[0].value_or(integer_value(0));
  std::optional<int64_t> value;
  if (input.is_integral()) value = input.as_integer();
  if (input.is(Kind::kBigInteger)) return input;
  if (input.is(Kind::kFloat)) value = truncated(input.real);
  if (input.is(Kind::kText)) {
    value = parse_integer(input.text->bytes());
    if (!value) {
      if (const std::optional<double> real = parse_real(input.text->bytes())) value = truncated(*real);
    }
  }
  if (!value) return otherwise;
  return of_user_if(integer_value(*value), input.of_user || input.is(Kind::kText));
}

Value float_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  (void)heap;
  const auto bound = bind("float", arguments, {"default"});
  if (input.is(Kind::kUndefined)) fail_undefined(input);
  std::optional<double> value;
  if (input.is_number()) value = input.as_real();
  if (input.is(Kind::kText)) value = parse_real(input.text->bytes());
  if (!value) return bound[0].value_or(real_value(0));
  return of_user_if(real_value(*value), input.of_user || input.is(Kind::kText));
}

Value abs_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  (void)heap;
  bind("abs", arguments, {});
  if (!input.is_number()) fail("'abs' needs a number, found '{}'", type_name(input));
  if (input.is(Kind::kFloat)) return of_user_if(real_value(std::fabs(input.real)), input.of_user);
  if (input.as_integer() == INT64_MIN) fail("an integer is beyond 64 bits");
  return of_user_if(integer_value(std::abs(input.as_integer())), input.of_user);
}

Value round_filter(const Value& input, const Arguments& arguments, Heap& heap) {
  const auto bound = bind("round", arguments, {"precision", "method"});
  if (!input.is_number()) fail("'round' needs a number, found '{}'", type_name(input));
  const int64_t precision = integer("round", bound[0], 0);
  if (precision < 0 || precision > 15) fail("'round' knows a precision of 0 to 15");
  const std::string method = bound[1] ? str_of(*bound[1], heap).bytes() : "common";
  if (method == "common") {
    if (input.is_integral()) return of_user_if(integer_value(input.as_integer()), input.of_user);
    if (!std::isfinite(input.real)) return input;
    // printf rounds the exact value half to even, as Python's round does.
    const std::string digits = fmt::format("{:.{}f}", input.real, precision);
    return of_user_if(real_value(std::stod(digits)), input.of_user);
  }
  if (method != "ceil" && method != "floor") fail("'round' knows the methods common, ceil and floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_real() * scale;
  return of_user_if(real_value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale),
                    input.of_user);
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  if (name == "upper") return upper_filter;
  if (name == "lower") return lower_filter;
  if (name == "capitalize") return capitalize_filter;
  if (name == "title") return title_filter;
  if (name == "string" || name == "safe") return string_filter;
  if (name == "trim") return trim_filter;
  if (name == "replace") return replace_filter;
  if (name == "indent") return indent_filter;
  if (name == "tojson") return tojson_filter;
  if (name == "int") return int_filter;
  if (name == "float") return float_filter;
  if (name == "abs") return abs_filter;
  if (name == "round") return round_filter;
  return nullptr;
}

}  // namespace minimax::chat::jinja
