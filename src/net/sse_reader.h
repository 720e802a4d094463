#pragma once
// Server-sent events out of pieces of a body: the data of each event, whole (WHATWG HTML, 9.2.6; fields other
// than data are passed over).

#include <string>
#include <string_view>

namespace minimax::net {

class SseReader {
 public:
  // Of an event that is not complete yet.
  size_t pending() const { return line_.size() + data_.size(); }

  // At the end of the body: an event that lacks its empty line.
  template <typename OnEvent>
  void finish(OnEvent&& on_event) {
    const std::string line = std::move(line_);
    line_.clear();
    take_line(line, on_event);
    take_line("", on_event);
  }

  // Calls on_event(std::string_view data) for each event that is complete now. The view lives until it
  // returns.
  template <typename OnEvent>
  void push(std::string_view piece, OnEvent&& on_event) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      if (end == std::string_view::npos) {
        line_ += piece;
        return;
      }
      if (line_.empty()) {
        take_line(piece.substr(0, end), on_event);
      } else {
        line_ += piece.substr(0, end);
        const std::string line = std::move(line_);
        line_.clear();
        take_line(line, on_event);
      }
      piece.remove_prefix(end + 1);
    }
  }

 private:
  template <typename OnEvent>
  void take_line(std::string_view line, OnEvent& on_event) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      if (!data_.empty()) on_event(std::string_view(data_));
      data_.clear();
    } else if (line.starts_with("data:")) {
      line.remove_prefix(5);
      if (line.starts_with(' ')) line.remove_prefix(1);
      if (!data_.empty()) data_.push_back('\n');
      data_ += line;
    }
  }

  std::string line_, data_;
};

}  // namespace minimax::net
