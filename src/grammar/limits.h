#pragma once
// What a constraint of a request may cost. All are counts, none is a clock: the same request is refused on
// every machine or on none. Messages name the limit by its name here.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace minimax::grammar {

inline constexpr size_t kSourceBytesMax = 256 * 1024;    // text of a schema, regex or grammar
inline constexpr int kNestingMax = 64;                   // groups in groups, schemas in schemas
inline constexpr int kRepeatMax = 4096;                  // bounds of {m,n}, minLength, maxItems, ...
inline constexpr size_t kRulesMax = 8192;                // rules of one grammar
inline constexpr size_t kNfaStatesMax = 400'000;         // of one rule, before it is made deterministic
inline constexpr size_t kStatesMax = 250'000;            // of all rules together
inline constexpr int64_t kCompileStepsMax = 10'000'000;  // work of one compilation
// A compilation that goes beyond so many steps, some tens of milliseconds, is dear: dear ones take turns, for
// each may take a second of a processor, and so many may run or wait. Others do not wait for them.
inline constexpr int64_t kCheapCompileSteps = 750'000;
inline constexpr int kDearCompilationsMax = 8;
inline constexpr size_t kItemsMax = 2048;               // ways to read what was written so far
inline constexpr int64_t kMatchStepsMax = 3'000'000;    // work of a sequence in advance ...
inline constexpr int64_t kMatchStepsPerToken = 10'000;  // ... and what each of its tokens adds again
inline constexpr size_t kMachineBytesMax = 64 << 20;    // state learnt while matching: for new requests ...
inline constexpr size_t kMachineBytesHardMax = 256 << 20;  // ... and for those that run

// Thrown inside this room, caught at its doors: becomes the failure's sentence.
struct Refusal {
  std::string message;
  bool for_now = false;  // the same may be compiled later
};

// Work of a sequence while it runs, in steps of some ten nanoseconds: the whole batch waits for it, so a
// sequence that goes on at more than its share ends. What was learnt before, by whomever, is free.
class MatchWork {
 public:
  explicit MatchWork(int64_t steps = kMatchStepsMax) : left_(steps) {}

  void add_token() { left_ = std::min(kMatchStepsMax, left_ + kMatchStepsPerToken); }
  void spend(int64_t steps) {
    left_ -= steps;
    if (left_ < 0) {
      throw Refusal{
          "it takes more work to follow than a sequence may cause (kMatchStepsMax, and kMatchStepsPerToken "
          "for each token)"};
    }
  }
  int64_t left() const { return left_; }

 private:
  int64_t left_;
};

// Work that is left. REQUIRES of all loops over user input: spend() in each turn.
class Budget {
 public:
  // `on_dear`, if there is one, is called when kCheapCompileSteps of the steps are spent; it may wait, or
  // throw.
  explicit Budget(int64_t steps, std::function<void()> on_dear = {})
      : left_(steps), on_dear_(std::move(on_dear)) {
    if (!on_dear_) return;
    left_ = std::min(steps, kCheapCompileSteps);
    later_ = steps - left_;
  }
  void spend(int64_t steps = 1) {
    left_ -= steps;
    if (left_ < 0) go_on();
  }

 private:
  void go_on() {
    left_ += std::exchange(later_, 0);
    if (left_ < 0) throw Refusal{"it takes more steps to compile than allowed (kCompileStepsMax)"};
    on_dear_();
  }

  int64_t left_;       // until it is dear, or all
  int64_t later_ = 0;  // and then
  std::function<void()> on_dear_;
};

}  // namespace minimax::grammar
