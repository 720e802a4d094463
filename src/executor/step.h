#pragma once
// The contract between the engine and the hardware: the plain data of one step. The one file on which all
// rooms meet; a change to it updates every back-end, FakeExecutor and the tests in the same commit. Words:
// docs/glossary.md. What submit and collect promise: docs/executor_contract.md.
//
// Ownership: the engine owns block ids and slots, the executor owns the bytes behind them. A StepBatch is
// read by submit() and may be reused as soon as submit() returns; a StepResult is filled by collect(). Order
// inside one step: slot closes, opens and forks; block copies; the forward (rows write their K and V before
// any row attends); samples.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace minimax::executor {

using TokenId = int32_t;
using BlockId = int32_t;
using SlotId = int32_t;
using StepId = int64_t;

// In StepBatch::row_tokens: the token last sampled in the row's slot, not yet known to the host.
inline constexpr TokenId kLastSampledToken = -1;

// ---------------------------------------------------------------------------------------------------------------
// What to draw. Order of operations, formulas and ties: docs/sampling.md.

struct LogitBias {
  TokenId token = 0;
  float bias = 0;
};

struct SampleSpec {
  float temperature = 1.0f;  // below kGreedyTemperature: arg max
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1]
  int32_t top_k = 0;         // 0: all
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  uint64_t seed = 0;       // key of the counter-based generator
  int32_t sample_idx = 0;  // which of the request's n samples: part of the counter
  int32_t min_tokens = 0;  // stop_ids are masked while fewer output tokens than this exist
  // Ids that end the sequence (EOS and the request's own); empty with ignore_eos and no stop ids of its own.
  std::vector<TokenId> stop_ids;
  std::vector<LogitBias> logit_bias;            // at most Limits::logit_bias_max
  std::vector<TokenId> allowed_ids;             // empty: all. At most Limits::allowed_ids_max
  std::vector<std::vector<TokenId>> bad_words;  // at most Limits::bad_word_tokens_max ids in all
  // Log-probabilities wanted of each sampled token: -1 none, 0 the token itself, k the k likeliest too.
  int32_t logprobs = -1;
};

inline constexpr float kGreedyTemperature = 1e-5f;

// ---------------------------------------------------------------------------------------------------------------
// Slots: the state of one sequence inside the executor (last token, token history, penalty counts,
// SampleSpec).

struct SlotOpen {
  SlotId slot = 0;
  // The whole history: the prompt, and the output so far of a resumed sequence. Positions from prompt_tokens
  // on are generated rows: they are recomputed as decode would have computed them.
  std::vector<TokenId> tokens;
  int32_t prompt_tokens = 0;
  SampleSpec spec;
};

// dst becomes a copy of src's history with a spec of its own (n > 1 on one prompt).
struct SlotFork {
  SlotId src = 0;
  SlotId dst = 0;
  SampleSpec spec;
};

// All K and V of block src, of every layer, are copied to block dst.
struct BlockCopy {
  BlockId src = 0;
  BlockId dst = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Rows.

// Consecutive rows of one sequence. Row i has position first_position + i, and attends to positions 0..its
// own.
struct SequenceRows {
  SlotId slot = 0;
  int32_t row_begin = 0;  // into StepBatch::row_tokens
  int32_t row_count = 0;
  int32_t first_position = 0;
  // Into StepBatch::block_table: block i holds positions [i * block_tokens, (i + 1) * block_tokens).
  int32_t block_begin = 0;
  int32_t block_count = 0;  // covers first_position + row_count positions
};

// One token drawn from the logits of one row. Samples belong to rows, not to sequences: n siblings draw their
// first token from the same row of the prompt.
struct Sample {
  int32_t row = 0;
  SlotId slot = 0;              // whose spec, history and counts; gets the token
  int32_t output_position = 0;  // tokens the sequence has put out before this one: part of the counter
  int32_t mask_idx = -1;        // into StepBatch::masks, -1: none
};

// The log-probability of a known token: that of `token` given the row (prompt_logprobs).
struct PromptScore {
  int32_t row = 0;
  TokenId token = 0;
  int32_t top_k = 0;
};

struct StepBatch {
  std::vector<SlotId> slot_closes;
  std::vector<SlotOpen> slot_opens;
  std::vector<SlotFork> slot_forks;
  std::vector<BlockCopy> block_copies;

  std::vector<SequenceRows> sequences;
  std::vector<TokenId> row_tokens;   // [rows]
  std::vector<BlockId> block_table;  // flattened, SequenceRows::block_begin
  std::vector<Sample> samples;       // the rows that need logits are those named here and in prompt_scores
  std::vector<PromptScore> prompt_scores;
  // Bitmasks of allowed ids, each Limits::mask_words long: bit (id % 32) of word (id / 32).
  std::vector<uint32_t> masks;

  void clear();
};

// ---------------------------------------------------------------------------------------------------------------
// Results.

struct TopLogprob {
  TokenId token = 0;
  float logprob = 0;
};

// Raw log-probabilities: log-softmax of the logits before masks, penalties and temperature.
struct TokenLogprob {
  float logprob = 0;
  int32_t rank = 0;  // 1 + number of ids with a larger raw logit
  // Into StepResult::top_logprobs, by falling logprob, ties by id.
  int32_t top_begin = 0;
  int32_t top_count = 0;
};

enum class SampleOutcome : uint8_t {
  kToken,     // a token, and the sequence goes on
  kStop,      // the token is one of the spec's stop_ids
  kNotFinite  // the row's logits hold a NaN or nothing is left to draw from: no token; the sequence must end
};

// One drawn token. With speculation a sample yields several, in order.
struct SampledToken {
  int32_t sample = 0;  // into StepBatch::samples; ascending
  TokenId token = 0;
  SampleOutcome outcome = SampleOutcome::kToken;
  TokenLogprob logprob;  // filled if the spec asks
};

struct StepResult {
  std::vector<SampledToken> tokens;           // at least one per sample
  std::vector<TokenLogprob> prompt_logprobs;  // one per PromptScore
  std::vector<TopLogprob> top_logprobs;
  int64_t duration_us = 0;  // forward and sampling, as the executor saw it

  void clear();
};

// ---------------------------------------------------------------------------------------------------------------
// What the executor can take. All fixed at construction.

struct Limits {
  int32_t block_tokens = 0;        // positions a block
  int32_t block_count = 0;         // valid ids: 0 .. block_count - 1
  int32_t slot_count = 0;          // valid ids: 0 .. slot_count - 1
  int32_t step_rows_max = 0;       // rows a step
  int32_t step_sequences_max = 0;  // sequences a step
  int32_t step_samples_max = 0;    // samples plus prompt scores a step
  int32_t context_tokens_max = 0;  // positions of one sequence
  int32_t pipeline_depth = 1;      // steps that may be submitted and not yet collected
  int32_t vocab_size = 0;          // ids that can be sampled or given: those of the tokenizer
  int32_t mask_words = 0;          // ceil(vocab_size / 32)
  int32_t logit_bias_max = 1024;
  int32_t allowed_ids_max = 262144;
  int32_t bad_word_tokens_max = 4096;
  int32_t stop_ids_max = 128;
  int32_t logprobs_max = 0;  // largest k of SampleSpec::logprobs and PromptScore::top_k
};

// A relation the batch violates, as a sentence; empty if there is none. Every executor CHECKs it in submit();
// the engine's tests and FakeExecutor do too.
std::string find_violation(const StepBatch& batch, const Limits& limits);
// The same for the limits themselves: relations every executor must keep. Checked when an engine is built.
std::string find_violation(const Limits& limits);

}  // namespace minimax::executor
