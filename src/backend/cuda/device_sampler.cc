#include "backend/cuda/device_sampler.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/check.h"

namespace minimax::backend::cuda {

using executor::SampleSpec;
using executor::TokenId;

static int64_t aligned(int64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

namespace {

// Of one run, and of what lies behind its image on the device.
struct Sizes {
  int64_t image = 0, adjusted = 0, groups = 0, slices = 0;
  explicit Sizes(int32_t vocab_size)
      : image(aligned(kDrawsMax * static_cast<int64_t>(sizeof(Draw))) + aligned(4 * kDrawsMax) +
              aligned(int64_t{4} * kDrawsMax * ((vocab_size + 31) / 32)) +
              aligned(kDrawEditsMax * static_cast<int64_t>(sizeof(DrawEdit)))),
        adjusted(aligned(int64_t{4} * kDrawsMax * vocab_size)),
        groups(aligned(int64_t{4} * kDrawsMax * draw_groups(vocab_size))),
        slices(aligned(int64_t{8} * kDrawsMax * kDrawSlices)) {}
  int64_t all() const { return image + adjusted + groups + 3 * slices; }
};

}  // namespace

int64_t DeviceSampler::device_bytes(int32_t vocab_size) {
  return Sizes(vocab_size).all();
}

DeviceSampler::Image DeviceSampler::image_of(std::byte* base) const {
  Image image;
  const auto place = [&](auto*& pointer, int64_t count) {
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base);
    base += aligned(count * static_cast<int64_t>(sizeof(*pointer)));
  };
  place(image.draws, kDrawsMax);
  place(image.tokens, kDrawsMax);
  place(image.masks, int64_t{kDrawsMax} * mask_words_);
  place(image.edits, kDrawEditsMax);
  return image;
}

DeviceSampler::DeviceSampler(const Stream& stream, int32_t vocab_size)
    : stream_(stream), vocab_size_(vocab_size), mask_words_((vocab_size + 31) / 32) {
  const Sizes sizes(vocab_size);
  arena_ = DeviceMemory(sizes.all(), "sampling");
  staging_ = PinnedMemory(sizes.image, "staging of draws");
  host_ = image_of(staging_.data());
  device_ = image_of(arena_.data());
  std::byte* at = arena_.data() + sizes.image;
  adjusted_ = reinterpret_cast<float*>(at);
  groups_ = reinterpret_cast<float*>(at += sizes.adjusted);
  masses_ = reinterpret_cast<uint64_t*>(at += sizes.groups);
  best_scores_ = reinterpret_cast<float*>(at += sizes.slices);
  best_ids_ = reinterpret_cast<int32_t*>(at += sizes.slices);
}

void DeviceSampler::clear() {
  count_ = adjusted_count_ = mask_count_ = edit_count_ = 0;
  any_over_all_ = false;
}

static DrawMode mode_of(const SampleSpec& spec) {
  if (spec.temperature < executor::kGreedyTemperature) return DrawMode::kGreedy;
  if (spec.min_p > 0 || spec.top_k > 0) return DrawMode::kCandidates;
  return spec.top_p < 1 ? DrawMode::kMass : DrawMode::kAll;
}

// Ids that bad words exclude after this history.
template <typename Visit>
static void visit_bad_ends(const common::SlotState& slot, Visit visit) {
  for (const std::vector<TokenId>& word : slot.spec.bad_words) {
    if (word.empty() || word.size() - 1 > slot.tokens.size()) continue;
    const auto tail = std::span(slot.tokens).last(word.size() - 1);
    if (std::equal(tail.begin(), tail.end(), word.begin())) visit(word.back());
  }
}

void DeviceSampler::append_edits(const common::SlotState& slot, bool stops_masked, Draw& draw) {
  const SampleSpec& spec = slot.spec;
  draw.edit_begin = edit_count_;
  const auto append = [this](const DrawEdit& edit) { host_.edits[edit_count_++] = edit; };
  visit_bad_ends(slot, [&](TokenId id) { append({.token = id}); });
  if (stops_masked)
    for (const TokenId id : spec.stop_ids) append({.token = id});
  draw.forbidden = edit_count_ - draw.edit_begin;
  for (const executor::LogitBias& bias : spec.logit_bias) append({.token = bias.token, .bias = bias.bias});
  draw.biases = edit_count_ - draw.edit_begin - draw.forbidden;
  if (common::needs_counts(spec))
    for (const common::TokenCount& count : slot.counts)
      append({.token = count.token, .output_count = count.output_count});
  draw.counts = edit_count_ - draw.edit_begin - draw.forbidden - draw.biases;
}

DeviceSampler::Added DeviceSampler::add(const common::SlotState& slot, const executor::Sample& sample,
                                        int32_t row, std::span<const uint32_t> mask) {
  const SampleSpec& spec = slot.spec;
  if (!spec.allowed_ids.empty() || spec.logprobs >= 0 || vocab_size_ > kDrawVocabMax) return Added::kHost;
  const bool stops_masked = sample.output_position < spec.min_tokens;
  const size_t edits_most = spec.bad_words.size() + spec.stop_ids.size() + spec.logit_bias.size() +
                            (common::needs_counts(spec) ? slot.counts.size() : 0);
  if (edits_most > kDrawEditsMax) return Added::kHost;
  if (count_ == kDrawsMax || static_cast<size_t>(edit_count_) + edits_most > kDrawEditsMax)
    return Added::kFull;

  Draw draw{.row = row,
            .repetition = spec.repetition_penalty,
            .frequency = spec.frequency_penalty,
            .presence = spec.presence_penalty,
            .mode = mode_of(spec),
            .top_p = spec.top_p,
            .min_p = spec.min_p,
            .top_k = spec.top_k,
            .seed = spec.seed,
            .sample_idx = spec.sample_idx,
            .output_position = sample.output_position};
  if (draw.mode != DrawMode::kGreedy) draw.temperature = spec.temperature;
  // The exact test follows.
  if (spec.min_p > 0) draw.min_p_bound = std::log(spec.min_p) * 1.0001f - 0.01f;
  append_edits(slot, stops_masked, draw);
  if (!mask.empty()) {
    CHECK_EQ(mask.size(), static_cast<size_t>(mask_words_));
    draw.mask = mask_count_++;
    std::copy(mask.begin(), mask.end(), host_.masks + int64_t{draw.mask} * mask_words_);
  }
  if (draw.mask >= 0 || edit_count_ > draw.edit_begin) draw.adjusted = adjusted_count_++;
  any_over_all_ |= draw.mode == DrawMode::kAll || draw.mode == DrawMode::kMass;
  host_.draws[count_++] = draw;
  return Added::kYes;
}

void DeviceSampler::run(const float* logits, int64_t stride) {
  if (count_ == 0) return;
  const auto send = [this](auto* to, const auto* from, int64_t count) {
    const auto bytes = count * static_cast<int64_t>(sizeof(*from));
    if (bytes > 0) stream_.to_device(to, from, bytes);
  };
  send(device_.draws, host_.draws, count_);
  send(device_.masks, host_.masks, int64_t{mask_count_} * mask_words_);
  send(device_.edits, host_.edits, edit_count_);
  draw({.logits = logits,
        .stride = stride,
        .vocab_size = vocab_size_,
        .draws = device_.draws,
        .count = count_,
        .any_adjusted = adjusted_count_ > 0,
        .any_over_all = any_over_all_,
        .edits = device_.edits,
        .masks = device_.masks,
        .mask_words = mask_words_,
        .adjusted = adjusted_,
        .groups = groups_,
        .best_scores = best_scores_,
        .best_ids = best_ids_,
        .masses = masses_,
        .tokens = device_.tokens},
       stream_.handle());
  stream_.to_host(host_.tokens, device_.tokens, int64_t{4} * count_);
  stream_.wait();
}

}  // namespace minimax::backend::cuda
