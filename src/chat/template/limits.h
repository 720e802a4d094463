#pragma once
// What a template may use up. The limits of the source are checked at start, the others in every render.

#include <cstddef>
#include <cstdint>

namespace minimax::chat::jinja {

struct Limits {
  size_t source_bytes_max = 1 << 20;
  int nesting_max = 100;               // of brackets and blocks in the source
  int node_depth_max = 200;            // of one expression: a + b + c has two levels
  int depth_max = 400;                 // of evaluation: nested nodes, macro calls and values
  int64_t steps_max = 20'000'000;      // nodes evaluated, items looked at
  size_t heap_bytes_max = 512u << 20;  // of all values one render makes
  size_t output_bytes_max = 64u << 20;
};

}  // namespace minimax::chat::jinja
