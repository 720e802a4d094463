#pragma once
// A progress bar for long work on standard error: a redrawn line on a terminal, a line every few seconds
// otherwise.

#include <cstdint>
#include <string>

namespace minimax::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();  // ends the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Bytes done and to do; cheap enough to be called often.
  void update(uint64_t done, uint64_t total);

 private:
  std::string label_;
  bool terminal_;
  int64_t started_us_;
  int64_t shown_us_ = 0;
  bool anything_shown_ = false;
};

}  // namespace minimax::cli
