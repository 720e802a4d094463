#include "chat/stops.h"

#include <deque>

namespace minimax::chat {

StopScanner::StopScanner(const std::vector<std::string>& stops, bool include) : nodes_(1), include_(include) {
  for (size_t i = 0; i < stops.size(); ++i) {
    lengths_.push_back(stops[i].size());
    int32_t node = 0;
    for (const char c : stops[i]) {
      int32_t next = child(node, c);
      if (next < 0) {
        next = static_cast<int32_t>(nodes_.size());
        nodes_[static_cast<size_t>(node)].children.emplace_back(c, next);
        nodes_.push_back({});
        nodes_.back().depth = nodes_[static_cast<size_t>(node)].depth + 1;
      }
      node = next;
    }
    Node& end = nodes_[static_cast<size_t>(node)];
    if (node != 0 && end.stop < 0) end.stop = static_cast<int32_t>(i);
  }
  // Breadth first, so that the fail node of a parent is known before its children's.
  std::deque<int32_t> queue{0};
  while (!queue.empty()) {
    const int32_t node = queue.front();
    queue.pop_front();
    for (const auto& [c, next] : nodes_[static_cast<size_t>(node)].children) {
      queue.push_back(next);
      Node& self = nodes_[static_cast<size_t>(next)];
      int32_t fail = nodes_[static_cast<size_t>(node)].fail;
      while (fail != 0 && child(fail, c) < 0) fail = nodes_[static_cast<size_t>(fail)].fail;
      const int32_t target = node == 0 ? 0 : child(fail, c);
      self.fail = target < 0 ? 0 : target;
      if (self.stop < 0) self.stop = nodes_[static_cast<size_t>(self.fail)].stop;
    }
  }
}

int32_t StopScanner::child(int32_t node, char c) const {
  for (const auto& [label, next] : nodes_[static_cast<size_t>(node)].children) {
    if (label == c) return next;
  }
  return -1;
}

std::string StopScanner::push(std::string_view text, bool may_end) {
  if (matched_) return {};
  held_ += text;
  const size_t fresh = held_.size() - text.size();
  for (size_t i = fresh; i < held_.size(); ++i) {
    const char c = held_[i];
    int32_t next = child(state_, c);
    while (next < 0 && state_ != 0) {
      state_ = nodes_[static_cast<size_t>(state_)].fail;
      next = child(state_, c);
    }
    state_ = next < 0 ? 0 : next;
    const int32_t stop = nodes_[static_cast<size_t>(state_)].stop;
    if (stop < 0 || !may_end) continue;
    matched_ = static_cast<size_t>(stop);
    held_.resize(include_ ? i + 1 : i + 1 - lengths_[*matched_]);
    return std::exchange(held_, {});
  }
  const size_t keep = static_cast<size_t>(nodes_[static_cast<size_t>(state_)].depth);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopScanner::flush() {
  state_ = 0;
  return matched_ ? std::string() : std::exchange(held_, {});
}

}  // namespace minimax::chat
