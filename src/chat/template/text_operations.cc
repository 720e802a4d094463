// The operations on strings that filters and methods share.

#include "base/utf8.h"
#include "chat/template/methods.h"
#include "chat/template/python_text.h"

namespace minimax::chat::jinja {
namespace {

// Character by character; `change` appends what becomes of one.
template <typename Change>
Text mapped(const Text& text, Change change) {
  Text out;
  std::string one;
  size_t run = 0;
  for (size_t at = 0; at < text.size();) {
    while (text.runs()[run].end <= at) ++run;
    const utf8::Decoded d = utf8::decode(std::string_view(text.bytes()).substr(at));
    one.clear();
    change(one, d.code_point, at);
    out.append(one, text.runs()[run].from_template);
    at += static_cast<size_t>(d.bytes);
  }
  return out;
}

// The sigma at the end of a word has a form of its own.
bool is_final_sigma(const Text& text, size_t at) {
  const std::string_view bytes = text.bytes();
  const auto before = bytes.substr(0, at);
  size_t last = before.size();
  while (last > 0 && (static_cast<unsigned char>(before[last - 1]) & 0xC0) == 0x80) --last;
  const bool word_before = last > 0 && is_letter_cased(utf8::decode(before.substr(last - 1)).code_point);
  const std::string_view after = bytes.substr(at + 2);
  return word_before && (after.empty() || !is_letter_cased(utf8::decode(after).code_point));
}

}  // namespace

Text upper(const Text& text) {
  return mapped(text, [](std::string& out, char32_t c, size_t) { append_upper(out, c); });
}

Text lower(const Text& text) {
  return mapped(text, [&](std::string& out, char32_t c, size_t at) {
    if (c == 0x3A3 && is_final_sigma(text, at)) {
      utf8::append(out, 0x3C2);
    } else {
      append_lower(out, c);
    }
  });
}

Text capitalize(const Text& text) {
  const size_t first = byte_of_char(text.bytes(), 1);
  Text out = upper(text.slice(0, first));
  out.append(lower(text.slice(first, text.size())));
  return out;
}

Text strip(const Text& text, bool left, bool right, std::string_view chars) {
  const Range range = stripped(text.bytes(), left, right, chars);
  return text.slice(range.begin, range.end);
}

Text replace(const Text& text, const Text& before, const Text& after, int64_t count_max, Heap& heap) {
  Text out;
  const std::string& bytes = text.bytes();
  size_t at = 0;
  heap.step(bytes.size() / 64);
  const auto put = [&](size_t end) {
    out.append(text, at, end);
    out.append(after);
    at = end + before.size();
    if (out.size() > heap.limits().heap_bytes_max) heap.spend(out.size());
  };
  if (before.empty()) {
    for (const size_t end : char_offsets(bytes)) {
      if (count_max-- == 0) break;
      put(end);
    }
  } else {
    for (size_t end = bytes.find(before.bytes()); end != std::string::npos && count_max != 0;
         end = bytes.find(before.bytes(), at)) {
      --count_max;
      heap.step();
      put(end);
    }
  }
  out.append(text, at, bytes.size());
  return out;
}

std::vector<Value> split_lines(const Text& text, bool keep_ends, Heap& heap) {
  std::vector<Value> lines;
  const std::string_view bytes = text.bytes();
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const utf8::Decoded d = utf8::decode(bytes.substr(at));
    size_t end = at + static_cast<size_t>(d.bytes);
    if (is_line_break(d.code_point)) {
      if (d.code_point == '\r' && end < bytes.size() && bytes[end] == '\n') ++end;
      lines.push_back(heap.text(text.slice(begin, keep_ends ? end : at)));
      begin = end;
    }
    at = end;
  }
  if (begin < bytes.size()) lines.push_back(heap.text(text.slice(begin, bytes.size())));
  heap.step(bytes.size() / 64 + lines.size());
  return lines;
}

}  // namespace minimax::chat::jinja
