#pragma once
// Random checkpoints in exactly the published layout: names, dtypes, shard files, index, config.json and
// generation_config.json. For tests, for benchmarks of shapes nobody can download, and for one rank's share
// of the true model. In a test prefer model/test_checkpoint.h, which also opens and removes it:
//
//   synthesise({.shape = small_test_shape()}, dir);        // fp8, 2.9 MB, some milliseconds
//   SynthOptions options{.shape = small_test_shape()};
//   options.shape.fp8_block_rows = options.shape.fp8_block_cols = 0;   // the same in bf16
//
// An element's value is a function of seed, tensor name and place alone: the files do not depend on the
// number of threads or on file_bytes_max, and a rank's share (tp, rank) holds the very elements of the whole.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"

namespace minimax::model {

// hidden 256, 2 layers, 4 query and 2 KV heads of 128 (64 rotated), 8 experts top 2 of width 128, vocabulary
// 512, fp8 blocks.
ModelShape small_test_shape();
// MiniMax-M2 as published.
ModelShape m2_shape();

struct SynthOptions {
  ModelShape shape = {};  // fp8_block_rows 0: projections in bf16
  uint64_t seed = 0;
  // Writes only what rank `rank` of `tp` tensor-parallel ranks holds, as a checkpoint that stands alone: its
  // config.json gives the rank's heads, expert width and vocabulary rows. Where a cut goes through an fp8
  // block the published layout cannot say so: the rank's blocks then count from its own first row, and its
  // values differ from the whole's by their scales.
  int32_t tp = 1;
  int32_t rank = 0;
  uint64_t file_bytes_max = 5'000'000'000;  // of one shard; a tensor larger than that gets a file of its own
  int32_t threads = 0;                      // 0: one a core
  // Copied if given, with tokenizer_config.json and chat_template.jinja beside it; its ids must fit the
  // vocabulary, and its tokens "[e~[" and "]~b]" become eos and bos where these are not given here.
  std::filesystem::path tokenizer_json = {};
  std::vector<int32_t> eos_ids = {};
  std::optional<int32_t> bos_id = {};
  // Called with bytes of tensors written and to write, from the writing threads, one call at a time.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
};

struct SynthReport {
  uint64_t tensor_bytes = 0;
  int64_t tensors = 0;
  int32_t files = 0;
};

// Makes `dir` if need be. Throws Error if it already holds a checkpoint, if the shape or layout is
// impossible, or if the disk is too small. Memory: some megabytes a thread, plus the names. config.json comes
// last, so a folder left by an interrupted run does not load.
SynthReport synthesise(const SynthOptions& options, const std::filesystem::path& dir);

}  // namespace minimax::model
