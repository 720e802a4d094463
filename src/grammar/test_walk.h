#pragma once
// A random walk under masks that checks each of them, for tests and fuzzing.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "grammar/compiler.h"

namespace minimax::grammar {

inline void test_walk(const Constraint& constraint, uint64_t seed) {
  static const std::vector<std::string> kTokens = [] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    for (const char* more : {"ab", "\":", "{\"", "\", \"", "true", "é", "日本", "  ", "12", "]}"})
      tokens.emplace_back(more);
    return tokens;
  }();
  static Compiler compiler{kTokens};
  Result<std::shared_ptr<Machine>> machine = compiler.compile(constraint);
  if (!machine.ok()) {
    CHECK(!machine.failure().message.empty());
    return;
  }
  std::mt19937_64 random(seed);
  std::vector<uint32_t> mask(compiler.vocabulary().mask_words());
  ConfigId at = (*machine)->start();
  try {
    for (int step = 0; step < 24; ++step) {
      (*machine)->mask(at, mask);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < compiler.vocabulary().size(); ++id) {
        const bool bit = mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
        CHECK_EQ(bit, (*machine)->after_token(at, id) != kDead);
        if (bit) allowed.push_back(id);
      }
      // All bytes are tokens: whatever may go on can.
      CHECK_EQ(allowed.empty(), (*machine)->complete(at));
      if (allowed.empty()) return;
      at = (*machine)->after_token(at, allowed[random() % allowed.size()]);
    }
  } catch (const Refusal&) {  // a limit of matching
  }
}

}  // namespace minimax::grammar
