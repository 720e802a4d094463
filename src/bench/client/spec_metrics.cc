#include "bench/client/spec_metrics.h"

#include <algorithm>
#include <charconv>

namespace minimax::bench {
namespace {

double value_of(std::string_view line) {
  double value = 0;
  const std::string_view word = line.substr(line.rfind(' ') + 1);
  std::from_chars(word.data(), word.data() + word.size(), value);
  return value;
}

size_t position_of(std::string_view line) {
  constexpr std::string_view kLabel = "position=\"";
  size_t position = 0;
  const size_t at = line.find(kLabel);
  if (at != std::string_view::npos) {
    std::from_chars(line.data() + at + kLabel.size(), line.data() + line.size(), position);
  }
  return position;
}

}  // namespace

std::optional<SpecDecode> read_spec_decode(std::string_view text) {
  constexpr std::string_view kPrefix = "vllm:spec_decode_num_";
  constexpr size_t kPositionsMax = 64;
  SpecDecode out;
  bool any = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(kPrefix)) continue;
    const std::string_view name = line.substr(kPrefix.size(), line.find_first_of("{ ") - kPrefix.size());
    if (name == "drafts_total") {
      out.drafts += value_of(line);
      any = true;
    } else if (name == "draft_tokens_total") {
      out.draft_tokens += value_of(line);
    } else if (name == "accepted_tokens_total") {
      out.accepted_tokens += value_of(line);
    } else if (name == "accepted_tokens_per_pos_total" && position_of(line) < kPositionsMax) {
      if (out.accepted_per_position.size() <= position_of(line))
        out.accepted_per_position.resize(position_of(line) + 1);
      out.accepted_per_position[position_of(line)] += value_of(line);
    }
  }
  if (!any) return {};
  return out;
}

std::optional<SpecDecode> spec_decode_between(const std::optional<SpecDecode>& before,
                                              const std::optional<SpecDecode>& after) {
  if (!after) return {};
  const SpecDecode first = before.value_or(SpecDecode{});
  SpecDecode out = *after;
  out.drafts -= first.drafts;
  out.draft_tokens -= first.draft_tokens;
  out.accepted_tokens -= first.accepted_tokens;
  for (size_t i = 0; i < out.accepted_per_position.size() && i < first.accepted_per_position.size(); ++i) {
    out.accepted_per_position[i] -= first.accepted_per_position[i];
  }
  if (out.drafts <= 0) return {};
  return out;
}

}  // namespace minimax::bench
