#pragma once
// What may be drawn next in one sequence, as the engine knows it: bits and ids. What the bits mean (text,
// JSON, a grammar) is the business of whoever implements this.
//
// A guide is the state of one sequence. The engine keeps it through preemption, tells it every token of the
// sequence in order, and asks it before each draw. Called from the engine thread alone; a call should take
// microseconds: the whole batch waits for it.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "executor/step.h"

namespace minimax::engine {

class Guide {
 public:
  virtual ~Guide() = default;

  // Sets the bits of the ids that may come (StepBatch::masks; all bits are zero on entry). False: any id may
  // come, and the bits mean nothing. No bit at all ends the sequence with error().
  virtual bool fill(std::span<uint32_t> mask) = 0;
  // A token that was drawn and does not end the sequence. False: nothing may follow, so the sequence ends
  // after it.
  virtual bool accept(executor::TokenId token) = 0;
  // Any id may follow, for ever: the engine lets the guide go, and with it the wait for each token.
  virtual bool finished() const { return false; }
  // A sentence on why fill() set no bit; empty if it did.
  virtual std::string_view error() const = 0;
};

// Makes the guides of a request, one for each sample. Immutable.
class GuideSource {
 public:
  virtual ~GuideSource() = default;
  virtual std::unique_ptr<Guide> start() const = 0;
};

}  // namespace minimax::engine
