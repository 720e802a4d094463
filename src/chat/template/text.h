#pragma once
// Text that remembers of each of its bytes whether the template wrote it or the conversation did. Every
// operation of the template language that makes text of text goes through here, so that what a user wrote can
// never pass for the template's own.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace minimax::chat::jinja {

class Text {
 public:
  struct Run {
    size_t end = 0;  // behind its last byte
    bool from_template = false;
    bool operator==(const Run&) const = default;
  };

  Text() = default;
  Text(std::string_view bytes, bool from_template) { append(bytes, from_template); }

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // In order, without gaps; neighbours differ in origin.
  const std::vector<Run>& runs() const { return runs_; }

  void append(std::string_view bytes, bool from_template);
  void append(const Text& other);
  void append(const Text& other, size_t begin, size_t end);  // bytes [begin, end) of other
  Text slice(size_t begin, size_t end) const;
  // Of one byte. REQUIRES: at < size().
  bool from_template(size_t at) const { return runs_[run_of(at)].from_template; }

  bool operator==(const Text&) const = default;

 private:
  size_t run_of(size_t at) const;

  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace minimax::chat::jinja
