#pragma once
// The slots of an executor on the host: for each sequence its token history, what the history means for
// penalties, and its SampleSpec. The engine names slots by id; this is what stands behind an id.
//
// Threads: none of its own; used by the thread that calls submit().

#include <cstdint>
#include <span>
#include <vector>

#include "executor/step.h"

namespace minimax::backend::common {

// One distinct id of a history.
struct TokenCount {
  executor::TokenId token = 0;
  bool in_prompt = false;
  int32_t output_count = 0;  // how often it stands in the output

  bool operator==(const TokenCount&) const = default;
};

// True if the spec's penalties need TokenCounts.
bool needs_counts(const executor::SampleSpec& spec);

// The distinct ids of tokens, ascending; the first prompt_tokens of them are the prompt.
std::vector<TokenCount> count_tokens(std::span<const executor::TokenId> tokens, int32_t prompt_tokens);

struct SlotState {
  executor::SampleSpec spec;
  std::vector<executor::TokenId> tokens;  // prompt and output
  int32_t prompt_tokens = 0;
  std::vector<TokenCount> counts;  // ascending by token; empty unless needs_counts(spec)

  int32_t output_tokens() const { return static_cast<int32_t>(tokens.size()) - prompt_tokens; }
};

class SlotTable {
 public:
  // vocab_size: ids of histories must be below it.
  SlotTable(int32_t slot_count, int32_t vocab_size);

  // The batch's closes, opens and forks, in the order of the contract. REQUIRES (checked): closed slots were
  // open, opened slots and fork targets were closed, fork sources are open, ids are in range.
  void apply(const executor::StepBatch& batch);

  void open(const executor::SlotOpen& opening);
  void fork(const executor::SlotFork& fork);
  void close(executor::SlotId slot);

  // A token was drawn for the slot. Cost: O(1), with penalties O(distinct ids of the history).
  void append(executor::SlotId slot, executor::TokenId token);

  bool is_open(executor::SlotId slot) const;
  const SlotState& at(executor::SlotId slot) const;           // REQUIRES: open
  executor::TokenId last_token(executor::SlotId slot) const;  // REQUIRES: open, history not empty

 private:
  struct Slot {
    bool open = false;
    SlotState state;
  };
  Slot& slot_at(executor::SlotId slot);

  int32_t vocab_size_;
  std::vector<Slot> slots_;
};

}  // namespace minimax::backend::common
