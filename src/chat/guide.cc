#include "chat/guide.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace minimax::chat {
namespace {

using tokenizer::TokenId;

void set_bit(std::span<uint32_t> mask, TokenId id) {
  mask[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
}
void clear_bit(std::span<uint32_t> mask, TokenId id) {
  mask[static_cast<size_t>(id) / 32] &= ~(1u << (id % 32));
}

class MachineGuide final : public engine::Guide {
 public:
  explicit MachineGuide(std::shared_ptr<const GuideOptions> options)
      : options_(std::move(options)),
        thinking_(options_->after_thinking),
        free_(options_->free_text || options_->machine == nullptr),
        thinking_left_(options_->thinking_tokens_max.value_or(std::numeric_limits<int64_t>::max())),
        config_(options_->machine == nullptr ? grammar::ConfigId{} : options_->machine->start()) {}

  bool fill(std::span<uint32_t> mask) override {
    if (thinking_ && thinking_left_ <= 0) {
      set_bit(mask, *options_->think_end);
      return true;
    }
    if (free_) return false;
    if (thinking_) {
      std::ranges::fill(mask, ~0u);
      for (const TokenId id : options_->end_ids) clear_bit(mask, id);
      if (options_->tool_begin) clear_bit(mask, *options_->tool_begin);
      return true;
    }
    grammar::Machine& machine = *options_->machine;
    CHECK_EQ(mask.size(), machine.vocabulary().mask_words());
    if (!refused_.empty()) {
      fail(refused_, mask);
      return true;
    }
    try {
      machine.mask(config_, mask, work_);
    } catch (const grammar::Refusal& refusal) {
      fail(refusal.message, mask);
      return true;
    }
    if (machine.accepting(config_)) {
      for (const TokenId id : options_->end_ids) set_bit(mask, id);
    }
    if (std::ranges::all_of(mask, [](uint32_t word) { return word == 0; })) {
      fail("no token of this model continues what was written", mask);
    }
    return true;
  }

  bool accept(TokenId token) override {
    if (thinking_) {
      --thinking_left_;
      // A call in the thinking ends it, for the parser too.
      const bool calls = free_ && token == options_->tool_begin;
      thinking_ = token != options_->think_end && !calls;
      if (!calls) return true;
    }
    if (options_->machine == nullptr) return true;
    grammar::Machine& machine = *options_->machine;
    if (free_) {
      free_ = token != options_->tool_begin;
      if (free_) return true;
      config_ = machine.start();
    }
    try {
      work_.add_token();
      const grammar::ConfigId next = machine.after_token(config_, token, work_);
      // The mask had excluded it: an executor that draws it has a bug of its own, and this sequence ends.
      if (next == grammar::kDead) refused_ = "a token came that it does not allow";
      if (next != grammar::kDead) config_ = next;
    } catch (const grammar::Refusal& refusal) {
      refused_ = refusal.message;
      return true;  // the next fill() tells
    }
    if (!refused_.empty() || !machine.complete(config_)) return true;
    free_ = options_->free_text;
    return free_;
  }

  bool finished() const override { return !thinking_ && options_->machine == nullptr; }
  std::string_view error() const override { return error_; }

 private:
  void fail(std::string_view why, std::span<uint32_t> mask) {
    std::ranges::fill(mask, 0u);
    error_ = "The answer's constraint could not be kept: ";
    error_ += why;
    error_ += '.';
  }

  const std::shared_ptr<const GuideOptions> options_;
  bool thinking_, free_;
  int64_t thinking_left_;
  grammar::ConfigId config_;
  grammar::MatchWork work_;
  std::string refused_, error_;
};

class MachineGuideSource final : public engine::GuideSource {
 public:
  explicit MachineGuideSource(GuideOptions options)
      : options_(std::make_shared<const GuideOptions>(std::move(options))) {}
  std::unique_ptr<engine::Guide> start() const override { return std::make_unique<MachineGuide>(options_); }

 private:
  std::shared_ptr<const GuideOptions> options_;
};

}  // namespace

std::vector<std::string> text_tokens(const tokenizer::Tokenizer& tokenizer) {
  std::vector<std::string> out(static_cast<size_t>(tokenizer.size()));
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    if (!tokenizer.is_added(id)) out[static_cast<size_t>(id)] = tokenizer.bytes(id);
  }
  return out;
}

std::shared_ptr<const engine::GuideSource> make_guide(GuideOptions options) {
  return std::make_shared<MachineGuideSource>(std::move(options));
}

}  // namespace minimax::chat
