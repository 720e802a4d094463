#include "backend/common/slot_table.h"

#include <algorithm>

#include "base/check.h"

namespace minimax::backend::common {

using executor::SlotId;
using executor::TokenId;

bool needs_counts(const executor::SampleSpec& spec) {
  return spec.repetition_penalty != 1.0f || spec.frequency_penalty != 0.0f || spec.presence_penalty != 0.0f;
}

static void count_one(std::vector<TokenCount>& counts, TokenId token, bool in_prompt) {
  auto place = std::lower_bound(counts.begin(), counts.end(), token,
                                [](const TokenCount& count, TokenId id) { return count.token < id; });
  if (place == counts.end() || place->token != token)
    place = counts.insert(place, TokenCount{token, false, 0});
  if (in_prompt) {
    place->in_prompt = true;
  } else {
    ++place->output_count;
  }
}

std::vector<TokenCount> count_tokens(std::span<const TokenId> tokens, int32_t prompt_tokens) {
  // Sorting first keeps a long history at n log n.
  std::vector<TokenId> distinct(tokens.begin(), tokens.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<TokenCount> counts;
  counts.reserve(distinct.size());
  for (const TokenId token : distinct) counts.push_back({token, false, 0});
  for (size_t i = 0; i < tokens.size(); ++i)
    count_one(counts, tokens[i], i < static_cast<size_t>(prompt_tokens));
  return counts;
}

SlotTable::SlotTable(int32_t slot_count, int32_t vocab_size) : vocab_size_(vocab_size) {
  CHECK_GE(slot_count, 0);
  slots_.resize(static_cast<size_t>(slot_count));
}

SlotTable::Slot& SlotTable::slot_at(SlotId slot) {
  CHECK_GE(slot, 0);
  CHECK_LT(static_cast<size_t>(slot), slots_.size());
  return slots_[static_cast<size_t>(slot)];
}

void SlotTable::apply(const executor::StepBatch& batch) {
  for (const SlotId slot : batch.slot_closes) close(slot);
  for (const executor::SlotOpen& opening : batch.slot_opens) open(opening);
  for (const executor::SlotFork& forking : batch.slot_forks) fork(forking);
}

void SlotTable::open(const executor::SlotOpen& opening) {
  Slot& slot = slot_at(opening.slot);
  CHECK(!slot.open);
  CHECK_GE(opening.prompt_tokens, 0);
  CHECK_LE(static_cast<size_t>(opening.prompt_tokens), opening.tokens.size());
  for (const TokenId token : opening.tokens) {
    CHECK_GE(token, 0);
    CHECK_LT(token, vocab_size_);
  }
  slot.open = true;
  slot.state.spec = opening.spec;
  slot.state.tokens = opening.tokens;
  slot.state.prompt_tokens = opening.prompt_tokens;
  slot.state.counts.clear();
  if (needs_counts(opening.spec)) slot.state.counts = count_tokens(opening.tokens, opening.prompt_tokens);
}

void SlotTable::fork(const executor::SlotFork& forking) {
  const Slot& source = slot_at(forking.src);
  CHECK(source.open);
  // A copy, not an alias: src's counts may be empty although dst's spec needs them.
  open({forking.dst, source.state.tokens, source.state.prompt_tokens, forking.spec});
}

void SlotTable::close(SlotId id) {
  Slot& slot = slot_at(id);
  CHECK(slot.open);
  slot.open = false;
  slot.state.tokens.clear();  // keeps the capacity for the next sequence
  slot.state.counts.clear();
  slot.state.spec = {};
  slot.state.prompt_tokens = 0;
}

void SlotTable::append(SlotId id, TokenId token) {
  Slot& slot = slot_at(id);
  CHECK(slot.open);
  CHECK_GE(token, 0);
  CHECK_LT(token, vocab_size_);
  slot.state.tokens.push_back(token);
  if (needs_counts(slot.state.spec)) count_one(slot.state.counts, token, false);
}

bool SlotTable::is_open(SlotId slot) const {
  return slot >= 0 && static_cast<size_t>(slot) < slots_.size() && slots_[static_cast<size_t>(slot)].open;
}

const SlotState& SlotTable::at(SlotId slot) const {
  CHECK(is_open(slot));
  return slots_[static_cast<size_t>(slot)].state;
}

TokenId SlotTable::last_token(SlotId slot) const {
  const SlotState& state = at(slot);
  CHECK(!state.tokens.empty());
  return state.tokens.back();
}

}  // namespace minimax::backend::common
