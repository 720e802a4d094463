#include "chat/session.h"

#include <algorithm>

#include "base/check.h"
#include "chat/pipeline.h"

namespace minimax::chat {

using engine::FinishReason;
using engine::TokenEvent;

struct Session::Impl {
  struct SampleState {
    Pipeline pipeline;
    bool ended = false;       // its Finish was reported
    bool in_content = false;  // what its last token that said something was part of
  };

  MarkerIds markers;
  std::vector<tokenizer::TokenId> eos_ids;
  bool include_stop = false;
  int64_t prompt_tokens = 0;
  std::unique_ptr<engine::Stream> stream;
  std::vector<SampleState> samples;
  std::vector<TokenEvent> events;
  std::vector<ParsedDelta> deltas;  // of the event at hand
  int64_t completion_tokens = 0;
  size_t ended = 0;

  Update& update_of(std::vector<Update>& updates, size_t first, int32_t sample_idx);
  void take(TokenEvent& event, std::vector<Update>& updates, size_t first);
  void end(SampleState& sample, Finish& finish);
  Update& say(std::vector<Update>& updates, size_t first, int32_t sample_idx);
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::start(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer,
                                                GenerationRequest request, std::function<void()> notify) {
  auto impl = std::make_unique<Impl>();
  impl->markers = MarkerIds::of(tokenizer);
  impl->eos_ids = std::move(request.eos_ids);
  impl->include_stop = request.include_stop_str;
  impl->prompt_tokens = std::ssize(request.request.prompt);
  const PipelineOptions options{std::move(request.stop), request.include_stop_str,
                                request.request.spec.min_tokens, request.skip_special_tokens,
                                std::move(request.parser)};
  for (int32_t i = 0; i < request.request.n; ++i) {
    impl->samples.push_back({Pipeline(tokenizer, impl->markers, options), false});
  }
  auto stream = engine.submit(std::move(request.request), std::move(notify));
  if (!stream.ok()) return stream.failure();
  impl->stream = std::move(stream).value();
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Update& Session::Impl::update_of(std::vector<Update>& updates, size_t first, int32_t sample_idx) {
  for (size_t i = updates.size(); i > first; --i) {
    if (updates[i - 1].sample_idx == sample_idx) return updates[i - 1];
  }
  Update& update = updates.emplace_back();
  update.sample_idx = sample_idx;
  return update;
}

// Puts `deltas` into the sample's update, and into new ones where one could not keep their order. Returns the
// last.
Update& Session::Impl::say(std::vector<Update>& updates, size_t first, int32_t sample_idx) {
  Update* update = &update_of(updates, first, sample_idx);
  for (ParsedDelta& delta : deltas) {
    if (!can_append(update->delta, delta)) {
      update = &updates.emplace_back();
      update->sample_idx = sample_idx;
    }
    append(update->delta, std::move(delta));
  }
  return *update;
}

void Session::Impl::end(SampleState& sample, Finish& finish) {
  sample.pipeline.finish(deltas);
  finish.any_calls = sample.pipeline.any_calls();
  sample.ended = true;
  ++ended;
}

void Session::Impl::take(TokenEvent& event, std::vector<Update>& updates, size_t first) {
  deltas.clear();
  SampleState& sample = samples[static_cast<size_t>(event.sample_idx)];
  Finish finish{event.finish, {}, false, std::move(event.error), event.error_kind};
  bool hidden = false;
  if (event.has_token) {
    ++completion_tokens;
    const bool by_id = event.finish == FinishReason::kStop && event.stop_token >= 0;
    const bool eos = by_id && std::ranges::find(eos_ids, event.token) != eos_ids.end();
    if (by_id && !eos) finish.stop_reason = event.stop_token;
    // The token that ends a sample is no part of its text, unless the request wants its own stop ids kept.
    hidden = by_id && (eos || !include_stop);
    sample.pipeline.push(event.token, hidden, deltas);
    if (!deltas.empty()) sample.in_content = !deltas.back().content.empty();
    if (const std::optional<std::string> stop = sample.pipeline.stopped()) {
      finish = {FinishReason::kStop, *stop, false, {}};
      // The engine may have drawn more by now; nobody will look at it.
      stream->cancel(event.sample_idx);
    }
  }
  if (finish.reason != FinishReason::kNone) end(sample, finish);
  Update& update = say(updates, first, event.sample_idx);
  if (event.has_token) {
    update.tokens.push_back(
        {event.token, event.has_logprobs, std::move(event.logprobs), sample.in_content && !hidden});
  }
  if (finish.reason != FinishReason::kNone) update.finish = std::move(finish);
}

bool Session::poll(std::vector<Update>& updates) {
  Impl& self = *impl_;
  self.events.clear();
  self.stream->take(self.events);
  const size_t first = updates.size();
  for (TokenEvent& event : self.events) {
    if (self.samples[static_cast<size_t>(event.sample_idx)].ended) continue;
    self.take(event, updates, first);
  }
  return self.ended < self.samples.size();
}

void Session::wait() {
  impl_->stream->wait();
}

Usage Session::usage() const {
  Usage usage;
  usage.prompt_tokens = impl_->prompt_tokens;
  usage.cached_tokens = impl_->stream->prompt_info().cached_tokens;
  usage.completion_tokens = impl_->completion_tokens;
  for (const Impl::SampleState& sample : impl_->samples)
    usage.reasoning_tokens += sample.pipeline.reasoning_tokens();
  return usage;
}

engine::PromptInfo Session::prompt_info() const {
  return impl_->stream->prompt_info();
}

}  // namespace minimax::chat
