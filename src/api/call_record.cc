#include "api/call_record.h"

#include "base/clock.h"
#include "base/log.h"

namespace minimax::api {

CallRecord::CallRecord(std::atomic<int64_t>& open, Metrics& metrics, bool log, std::string id,
                       int64_t samples)
    : open_(open),
      metrics_(metrics),
      log_(log),
      samples_left_(samples),
      id_(std::move(id)),
      started_us_(now_us()) {
  ++open_;
}

CallRecord::~CallRecord() {
  --open_;
  for (; samples_left_ > 0; --samples_left_) metrics_.on_sample_finished("abort");
  if (!log_) return;
  log::info("request {}: {} prompt tokens ({} cached), {} generated, {}, {:.3f} s", id_, usage_.prompt_tokens,
            usage_.cached_tokens, usage_.completion_tokens, reason_.empty() ? "client gone" : reason_,
            static_cast<double>(now_us() - started_us_) / 1e6);
}

void CallRecord::sample_finished(engine::FinishReason reason) {
  if (reason == engine::FinishReason::kCancelled || samples_left_ == 0) return;
  --samples_left_;
  if (reason == engine::FinishReason::kStop) metrics_.on_sample_finished("stop");
  if (reason == engine::FinishReason::kLength) metrics_.on_sample_finished("length");
  if (reason == engine::FinishReason::kError) metrics_.on_sample_finished("error");
}

void CallRecord::finish(const chat::Usage& usage, std::string_view reason) {
  usage_ = usage;
  reason_ = reason;
}

}  // namespace minimax::api
