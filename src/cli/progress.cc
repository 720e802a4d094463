#include "cli/progress.h"

#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"

namespace minimax::cli {
namespace {

constexpr int64_t kRedrawUs = 100'000;
constexpr int64_t kLineUs = 5'000'000;
constexpr int kBarWidth = 30;

}  // namespace

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)),
      terminal_(isatty(STDERR_FILENO) != 0),
      started_us_(now_us()),
      shown_us_(started_us_) {}

ProgressBar::~ProgressBar() {
  if (terminal_ && anything_shown_) fmt::print(stderr, "\n");
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  const int64_t now = now_us();
  const bool last = done >= total;
  if (!last && now - shown_us_ < (terminal_ ? kRedrawUs : kLineUs)) return;
  // Work that was over at once needs no bar.
  if (last && !anything_shown_) return;
  shown_us_ = now;
  anything_shown_ = true;
  const double seconds = static_cast<double>(now - started_us_) * 1e-6;
  const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  const double rate = static_cast<double>(done) / 1e9 / (seconds > 0 ? seconds : 1);
  const double left = share > 0 ? seconds * (1 - share) / share : 0;
  const std::string facts =
      fmt::format("{:3.0f} %  {:.1f} of {:.1f} GB  {:.2f} GB/s  {:.0f} s left", share * 100,
                  static_cast<double>(done) / 1e9, static_cast<double>(total) / 1e9, rate, left);
  if (!terminal_) {
    fmt::print(stderr, "{}: {}\n", label_, facts);
    return;
  }
  const int filled = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {} ", label_, "", filled, "", kBarWidth - filled, facts);
  std::fflush(stderr);
}

}  // namespace minimax::cli
