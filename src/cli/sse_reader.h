#pragma once
// Server-sent events out of pieces of a body: the data of each event, whole.

#include <functional>
#include <string>
#include <string_view>

namespace minimax::cli {

class SseReader {
 public:
  explicit SseReader(std::function<void(std::string_view data)> on_event) : on_event_(std::move(on_event)) {}

  void push(std::string_view piece) {
    for (const char c : piece) {
      if (c == '\r') continue;
      if (c != '\n') {
        line_.push_back(c);
        continue;
      }
      if (line_.empty()) {
        if (!data_.empty()) on_event_(data_);
        data_.clear();
      } else if (line_.starts_with("data:")) {
        std::string_view value = std::string_view(line_).substr(5);
        if (value.starts_with(' ')) value.remove_prefix(1);
        if (!data_.empty()) data_.push_back('\n');
        data_ += value;
      }
      line_.clear();
    }
  }

 private:
  std::function<void(std::string_view)> on_event_;
  std::string line_, data_;
};

}  // namespace minimax::cli
