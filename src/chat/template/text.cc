#include "chat/template/text.h"

#include <algorithm>

namespace minimax::chat::jinja {

size_t Text::run_of(size_t at) const {
  const auto run = std::ranges::upper_bound(runs_, at, {}, &Run::end);
  return static_cast<size_t>(run - runs_.begin());
}

void Text::append(std::string_view bytes, bool from_template) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (!runs_.empty() && runs_.back().from_template == from_template) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), from_template});
  }
}

void Text::append(const Text& other) {
  append(other, 0, other.size());
}

void Text::append(const Text& other, size_t begin, size_t end) {
  if (begin >= end) return;
  const std::string_view bytes = other.bytes_;
  for (size_t run = other.run_of(begin); begin < end; ++run) {
    const size_t stop = std::min(end, other.runs_[run].end);
    append(bytes.substr(begin, stop - begin), other.runs_[run].from_template);
    begin = stop;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

}  // namespace minimax::chat::jinja
