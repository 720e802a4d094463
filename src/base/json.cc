#include "base/json.h"

#include <charconv>
#include <cmath>
#include <unordered_map>

#include <simdjson.h>

#include "base/utf8.h"

namespace minimax {

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(INT64_MAX)) {
    value_ = static_cast<int64_t>(value);
  } else {
    value_ = BigInteger{std::to_string(value)};
  }
}

std::string_view Json::type_name() const {
  if (is_null()) return "null";
  if (is_bool()) return "boolean";
  if (is_integer()) return "integer";
  if (is_double()) return "number";
  if (is_string()) return "string";
  return is_array() ? "array" : "object";
}

double Json::as_double() const {
  if (is_int64()) return static_cast<double>(as_int64());
  if (is_big_integer()) return std::strtod(as_big_integer().digits.c_str(), nullptr);
  return std::get<double>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : as_object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Json* Json::find(std::string_view key) {
  return const_cast<Json*>(static_cast<const Json*>(this)->find(key));
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  if (Json* member = find(key)) {
    *member = std::move(value);
  } else {
    as_object().emplace_back(std::string(key), std::move(value));
  }
  return *this;
}

Json& Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
  return *this;
}

namespace {

// Integers beyond 64 bits: simdjson refuses the whole text (NUMBER_ERROR or BIGINT_ERROR), so such texts are
// read by this small recursive-descent parser instead. It is also the one place that knows the grammar by
// hand.
class SlowParser {
 public:
  SlowParser(std::string_view text, size_t depth_max) : text_(text), depth_max_(depth_max) {}

  Result<Json> parse() {
    Json value;
    if (at_ = utf8::first_invalid(text_); at_ != text_.size()) return fail("is not valid UTF-8");
    at_ = 0;
    if (!parse_value(value, 0)) return fail(error_);
    skip_space();
    if (at_ != text_.size()) return fail("has text after the end of the value");
    return value;
  }

 private:
  Failure fail(std::string_view what) const {
    return invalid(fmt::format("JSON {} (near byte {}).", what, at_));
  }
  bool error(const char* what) {
    error_ = what;
    return false;
  }
  bool ended() const { return at_ >= text_.size(); }
  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool parse_value(Json& out, size_t depth) {
    if (depth > depth_max_) return error("is nested deeper than its limit (depth_max)");
    skip_space();
    if (at_ >= text_.size()) return error("ends too early");
    switch (text_[at_]) {
      case '{':
        return parse_object(out, depth);
      case '[':
        return parse_array(out, depth);
      case '"': {
        std::string text;
        if (!parse_string(text)) return false;
        out = Json(std::move(text));
        return true;
      }
      case 't':
        out = Json(true);
        return take_word("true") || error("has an unknown word");
      case 'f':
        out = Json(false);
        return take_word("false") || error("has an unknown word");
      case 'n':
        out = Json();
        return take_word("null") || error("has an unknown word");
      default:
        return parse_number(out);
    }
  }

  bool parse_object(Json& out, size_t depth) {
    ++at_;
    Json::Object members;
    std::unordered_map<std::string, size_t> places;
    skip_space();
    if (!take('}')) {
      do {
        skip_space();
        std::string key;
        if (at_ >= text_.size()) return error("ends inside an object");
        if (text_[at_] != '"') return error("has a key that is no string");
        if (!parse_string(key)) return false;
        skip_space();
        if (!take(':')) return error(ended() ? "ends inside an object" : "lacks a colon after a key");
        Json value;
        if (!parse_value(value, depth + 1)) return false;
        const auto [place, inserted] = places.emplace(key, members.size());
        if (inserted) {
          members.emplace_back(std::move(key), std::move(value));
        } else {
          members[place->second].second = std::move(value);
        }
        skip_space();
      } while (take(','));
      if (!take('}')) return error(ended() ? "ends inside an object" : "lacks a comma or a closing brace");
    }
    out = Json(std::move(members));
    return true;
  }

  bool parse_array(Json& out, size_t depth) {
    ++at_;
    Json::Array items;
    skip_space();
    if (!take(']')) {
      do {
        Json value;
        if (!parse_value(value, depth + 1)) return false;
        items.push_back(std::move(value));
        skip_space();
      } while (take(','));
      if (!take(']')) return error(ended() ? "ends inside an array" : "lacks a comma or a closing bracket");
    }
    out = Json(std::move(items));
    return true;
  }

  bool parse_hex4(char32_t& out) {
    if (at_ + 4 > text_.size()) return error("has a broken \\u escape");
    unsigned value = 0;
    const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
    if (code != std::errc() || end != text_.data() + at_ + 4) return error("has a broken \\u escape");
    at_ += 4;
    out = value;
    return true;
  }

  bool parse_string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return error("has a control character inside a string");
      if (c != '\\') {
        out.push_back(c);
        continue;
      }
      if (at_ >= text_.size()) break;
      const char escape = text_[at_++];
      switch (escape) {
        case '"':
        case '\\':
        case '/':
          out.push_back(escape);
          break;
        case 'b':
          out.push_back('\b');
          break;
        case 'f':
          out.push_back('\f');
          break;
        case 'n':
          out.push_back('\n');
          break;
        case 'r':
          out.push_back('\r');
          break;
        case 't':
          out.push_back('\t');
          break;
        case 'u': {
          char32_t unit = 0;
          if (!parse_hex4(unit)) return false;
          if (unit >= 0xDC00 && unit <= 0xDFFF) return error("has a lone surrogate");
          if (unit >= 0xD800 && unit <= 0xDBFF) {
            char32_t low = 0;
            if (!take('\\') || !take('u') || !parse_hex4(low) || low < 0xDC00 || low > 0xDFFF)
              return error("has a lone surrogate");
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
          }
          utf8::append(out, unit);
          break;
        }
        default:
          return error("has an unknown escape");
      }
    }
    return error("ends inside a string");
  }

  bool parse_number(Json& out) {
    const size_t begin = at_;
    const auto digits = [&] {
      const size_t from = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      return at_ - from;
    };
    take('-');
    const size_t first = at_;
    const size_t whole = digits();
    if (whole == 0 || (whole > 1 && text_[first] == '0')) return error("has something that is no value");
    bool integer = true;
    if (take('.')) {
      integer = false;
      if (digits() == 0) return error("has a broken number");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      integer = false;
      ++at_;
      if (!take('+')) take('-');
      if (digits() == 0) return error("has a broken number");
    }
    const std::string_view token = text_.substr(begin, at_ - begin);
    if (integer) {
      int64_t value = 0;
      const auto [end, code] = std::from_chars(token.data(), token.data() + token.size(), value);
      if (code == std::errc() && end == token.data() + token.size()) {
        out = Json(value);
      } else {
        out = Json(Json::BigInteger{std::string(token)});
      }
      return true;
    }
    double value = 0;
    const auto [end, code] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (code == std::errc::result_out_of_range) value = std::strtod(std::string(token).c_str(), nullptr);
    if (!std::isfinite(value)) return error("has a number beyond the range of a double");
    out = Json(value);
    return true;
  }

  std::string_view text_;
  size_t depth_max_;
  size_t at_ = 0;
  const char* error_ = "";
};

// False if the tree is deeper than allowed or holds a number that needs the slow parser.
enum class Walk { kOk, kTooDeep, kSlow };

Walk walk(simdjson::dom::element element, Json& out, size_t depth, size_t depth_max) {
  if (depth > depth_max) return Walk::kTooDeep;
  switch (element.type()) {
    case simdjson::dom::element_type::NULL_VALUE:
      out = Json();
      return Walk::kOk;
    case simdjson::dom::element_type::BOOL:
      out = Json(bool(element));
      return Walk::kOk;
    case simdjson::dom::element_type::INT64:
      out = Json(int64_t(element));
      return Walk::kOk;
    case simdjson::dom::element_type::UINT64:
      out = Json(uint64_t(element));
      return Walk::kOk;
    case simdjson::dom::element_type::DOUBLE:
      out = Json(double(element));
      return Walk::kOk;
    case simdjson::dom::element_type::STRING:
      out = Json(std::string_view(element));
      return Walk::kOk;
    case simdjson::dom::element_type::ARRAY: {
      const simdjson::dom::array source = element;
      Json::Array items;
      items.reserve(source.size());
      for (const simdjson::dom::element child : source) {
        const Walk walked = walk(child, items.emplace_back(), depth + 1, depth_max);
        if (walked != Walk::kOk) return walked;
      }
      out = Json(std::move(items));
      return Walk::kOk;
    }
    case simdjson::dom::element_type::OBJECT: {
      const simdjson::dom::object source = element;
      Json::Object members;
      members.reserve(source.size());
      // A hash only where a linear look for duplicates would cost: vocabularies have 200 000 keys.
      std::unordered_map<std::string_view, size_t> places;
      const bool hashed = source.size() > 16;
      for (const auto [key, child] : source) {
        size_t place = members.size();
        if (hashed) {
          place = places.emplace(key, place).first->second;
        } else {
          for (size_t i = 0; i < members.size(); ++i) {
            if (members[i].first == key) place = i;
          }
        }
        if (place == members.size()) members.emplace_back(std::string(key), Json());
        const Walk walked = walk(child, members[place].second, depth + 1, depth_max);
        if (walked != Walk::kOk) return walked;
      }
      out = Json(std::move(members));
      return Walk::kOk;
    }
  }
  return Walk::kSlow;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  // simdjson copies even nothing from where nothing is.
  if (text.empty()) return invalid("JSON is empty.");
  // One parser a thread: it keeps its buffers, so small requests allocate nothing here.
  thread_local simdjson::dom::parser parser;
  // simdjson refuses texts nested deeper than its own limit; ours is the smaller one.
  const auto parsed = parser.parse(text.data(), text.size());
  if (parsed.error() == simdjson::SUCCESS) {
    Json value;
    switch (walk(parsed.value_unsafe(), value, 0, limits.depth_max)) {
      case Walk::kOk:
        return value;
      case Walk::kTooDeep:
        return invalid(fmt::format("JSON is nested deeper than {} levels (depth_max).", limits.depth_max));
      case Walk::kSlow:
        break;
    }
  }
  // Either wrong, or right with an integer beyond 64 bits; the slow parser tells, and says where.
  return SlowParser(text, limits.depth_max).parse();
}

void append_json_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[64];
  // Python's repr: scientific form only below 1e-4 and from 1e16 on.
  const double magnitude = std::fabs(value);
  const bool scientific = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  const auto [end, code] =
      std::to_chars(buffer, buffer + sizeof(buffer), value,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  CHECK(code == std::errc());
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  out += text;
  if (!scientific && text.find('.') == std::string_view::npos) out += ".0";
}

void append_json_escaped(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  size_t begin = 0;
  size_t at = 0;
  const auto flush = [&](size_t end) { out.append(text.substr(begin, end - begin)); };
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      ++at;
      continue;
    }
    if (c >= 0x80) {
      const utf8::Decoded d = utf8::decode(text.substr(at));
      if (!d.valid) {
        flush(at);
        utf8::append(out, 0xFFFD);
        begin = at + 1;
      }
      at += static_cast<size_t>(d.bytes);
      continue;
    }
    flush(at);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case 0x7F:
        out += '\x7F';
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
    begin = ++at;
  }
  flush(text.size());
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

namespace {

void append_indented(std::string& out, const JsonStyle& style, int level) {
  if (style.indent < 0) return;
  out += '\n';
  out.append(static_cast<size_t>(style.indent * level), ' ');
}

void append_value(std::string& out, const Json& value, const JsonStyle& style, int level) {
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int64()) {
    fmt::format_to(std::back_inserter(out), "{}", value.as_int64());
  } else if (value.is_big_integer()) {
    out += value.as_big_integer().digits;
  } else if (value.is_double()) {
    append_json_double(out, value.as_double());
  } else if (value.is_string()) {
    append_json_string(out, value.as_string());
  } else if (value.is_array()) {
    out += '[';
    bool first = true;
    for (const Json& item : value.as_array()) {
      if (!first) out += style.item_separator;
      first = false;
      append_indented(out, style, level + 1);
      append_value(out, item, style, level + 1);
    }
    if (!first) append_indented(out, style, level);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : value.as_object()) {
      if (!first) out += style.item_separator;
      first = false;
      append_indented(out, style, level + 1);
      append_json_string(out, key);
      out += style.key_separator;
      append_value(out, member, style, level + 1);
    }
    if (!first) append_indented(out, style, level);
    out += '}';
  }
}

}  // namespace

void append_json(std::string& out, const Json& value, const JsonStyle& style) {
  append_value(out, value, style, 0);
}

std::string to_string(const Json& value, const JsonStyle& style) {
  std::string out;
  append_json(out, value, style);
  return out;
}

}  // namespace minimax
