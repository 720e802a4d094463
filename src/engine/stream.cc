#include "engine/stream.h"

namespace minimax::engine {
namespace {

class EngineStream final : public Stream {
 public:
  EngineStream(std::shared_ptr<StreamState> state, std::shared_ptr<Inbox> inbox)
      : state_(std::move(state)), inbox_(std::move(inbox)) {}

  ~EngineStream() override {
    {
      const std::lock_guard lock(state_->mutex);
      state_->abandoned = true;
      state_->events.clear();
      if (state_->ended) return;
    }
    cancel(-1);
  }

  bool take(std::vector<TokenEvent>& events) override {
    const std::lock_guard lock(state_->mutex);
    events.insert(events.end(), std::make_move_iterator(state_->events.begin()),
                  std::make_move_iterator(state_->events.end()));
    state_->events.clear();
    return !state_->ended;
  }

  void wait() override {
    std::unique_lock lock(state_->mutex);
    state_->ready.wait(lock, [this] { return !state_->events.empty() || state_->ended; });
  }

  PromptInfo prompt_info() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->prompt_info;
  }

  void cancel(int32_t sample_idx) override {
    {
      const std::lock_guard lock(inbox_->mutex);
      inbox_->cancels.push_back({state_, sample_idx});
    }
    inbox_->wake.notify_one();
  }

 private:
  std::shared_ptr<StreamState> state_;
  std::shared_ptr<Inbox> inbox_;
};

}  // namespace

std::unique_ptr<Stream> make_stream(std::shared_ptr<StreamState> state, std::shared_ptr<Inbox> inbox) {
  return std::make_unique<EngineStream>(std::move(state), std::move(inbox));
}

}  // namespace minimax::engine
