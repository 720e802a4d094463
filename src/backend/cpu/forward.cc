#include "backend/cpu/forward.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/float_types.h"

namespace minimax::backend::cpu {

namespace taps = model::taps;

static int64_t widest_input(const model::ModelShape& shape) {
  return round_up(std::max({shape.hidden, shape.q_width(), shape.expert_width}), kRowAlign);
}

static int64_t groups_of(int64_t width, const model::ModelShape& shape) {
  const int32_t group = shape.fp8_block_cols;
  return group == 0 ? 0 : (width + group - 1) / group;
}

Forward::Forward(const Parts& parts, int32_t rows_max, int32_t context_tokens_max)
    : Forward(parts, whole_share(parts.weights.shape()), rows_max, context_tokens_max) {}

Forward::Forward(const Parts& parts, Share share, int32_t rows_max, int32_t context_tokens_max)
    : weights_(parts.weights),
      kv_(parts.kv),
      kernels_(parts.kernels),
      threads_(parts.threads),
      shape_(parts.weights.shape()),
      share_(std::move(share)),
      rows_max_(rows_max),
      cos_(int64_t{rows_max} * shape_.rotary_dim / 2, "activations"),
      sin_(int64_t{rows_max} * shape_.rotary_dim / 2, "activations"),
      h_(rows_max, shape_.hidden, "activations"),
      q_(rows_max, shape_.q_width(), "activations"),
      k_(rows_max, shape_.kv_width(), "activations"),
      v_(rows_max, shape_.kv_width(), "activations"),
      attn_(rows_max, shape_.q_width(), "activations"),
      sub_out_(rows_max, shape_.hidden, "activations") {
  const int64_t wave_rows_max = int64_t{rows_max} * share_.replicas;
  const int64_t parts_max = wave_rows_max * shape_.experts_per_token;
  x_ = Rows(wave_rows_max, shape_.hidden, "activations");
  router_logits_ = HostBuffer<float>(wave_rows_max * shape_.experts, "activations");
  router_scores_ = HostBuffer<float>(wave_rows_max * shape_.experts, "activations");
  expert_weights_ = HostBuffer<float>(parts_max, "activations");
  gate_ = Rows(parts_max, shape_.expert_width, "expert activations");
  up_ = Rows(parts_max, shape_.expert_width, "expert activations");
  expert_out_ = Rows(parts_max, shape_.hidden, "expert activations");
  if (weights_.arithmetic() == common::Arithmetic::kW8a8 && shape_.fp8_block_cols != 0) {
    x_grid_ = Rows(wave_rows_max, shape_.hidden, "activations");
    attn_grid_ = Rows(rows_max, shape_.q_width(), "activations");
    inner_grid_ = Rows(parts_max, shape_.expert_width, "expert activations");
    x_scales_ = HostBuffer<float>(wave_rows_max * groups_of(shape_.hidden, shape_), "activations");
    attn_scales_ = HostBuffer<float>(rows_max * groups_of(shape_.q_width(), shape_), "activations");
    inner_scales_ = HostBuffer<float>(parts_max * groups_of(shape_.expert_width, shape_), "activations");
  }
  linear_scratch_stride_ = kTileRows * widest_input(shape_);
  linear_scratch_ = HostBuffer<uint16_t>(threads_.size() * linear_scratch_stride_, "scratch");
  init_attention(context_tokens_max);
  for (int32_t i = 0; i < shape_.rotary_dim / 2; ++i)
    frequencies_.push_back(std::pow(shape_.rope_theta, -2.0 * i / shape_.rotary_dim));
}

int64_t Forward::buffer_bytes() const {
  int64_t bytes = 0;
  for (const Rows* rows : {&h_, &x_, &q_, &k_, &v_, &attn_, &sub_out_, &x_grid_, &attn_grid_, &inner_grid_,
                           &gate_, &up_, &expert_out_})
    bytes += rows->buffer.bytes();
  for (const HostBuffer<float>* floats :
       {&cos_, &sin_, &x_scales_, &attn_scales_, &inner_scales_, &router_logits_, &router_scores_,
        &expert_weights_, &attention_scratch_, &split_states_})
    bytes += floats->bytes();
  return bytes + linear_scratch_.bytes() + widened_tiles_.bytes();
}

// ---------------------------------------------------------------------------------------------------------------
// The sequence of a step.

void Forward::run(const StepRows& step) {
  prepare(step);
  if (wave_rows_ == 0) return;
  tap(taps::kEmbed, h_);
  for (int32_t n = 0; n < shape_.layers; ++n) layer(n);
  layer_ = -1;
}

void Forward::layer(int32_t n) {
  layer_ = n;
  const LayerWeights& weights = weights_.layer(n);

  if (rows_ > 0) {  // or the step is of other replicas' rows
    norm(h_, weights.attn_norm, x_);
    tap(taps::kAttnNorm, x_);
    attention_block(weights);
    add_to_hidden(taps::kAttnResidual);
  }

  norm(h_, weights.mlp_norm, x_, wave_begin_);
  gather_rows();
  tap(taps::kMlpNorm, x_);
  experts_block(weights);
  add_to_hidden(taps::kMlpResidual);
}

void Forward::attention_block(const LayerWeights& weights) {
  const Input x = quantised(x_, x_grid_, x_scales_, rows_);
  linear({heads_of(task_of(weights.q, x, q_), share_.q_heads, shape_.head_dim),
          heads_of(task_of(weights.k, x, k_), share_.kv_heads, shape_.head_dim),
          heads_of(task_of(weights.v, x, v_), share_.kv_heads, shape_.head_dim)});
  tap(taps::kQProj, q_);
  tap(taps::kKProj, k_);
  tap(taps::kVProj, v_);
  if (shape_.qk_norm) {  // over the whole projections, before they are heads
    gather({slices_of(q_, share_.q_slices, rows_), slices_of(k_, share_.kv_slices, rows_)});
    norm(q_, weights.q_norm, q_);
    norm(k_, weights.k_norm, k_);
    tap(taps::kQNorm, q_);
    tap(taps::kKNorm, k_);
  }
  rotate(q_, share_.q_heads);
  rotate(k_, share_.kv_heads);
  tap(taps::kQRope, q_);
  tap(taps::kKRope, k_);

  write_kv();
  attend();
  gather({slices_of(attn_, share_.q_slices, rows_)});
  tap(taps::kAttn, attn_);
  const Input attn = quantised(attn_, attn_grid_, attn_scales_, rows_);
  linear({part_of(task_of(weights.o, attn, sub_out_), share_.attention_out)});
  gather({slices_of(sub_out_, share_.attention_out_slices, rows_)});
  tap(taps::kOProj, sub_out_);
}

void Forward::experts_block(const LayerWeights& weights) {
  LinearTask router = task_of(weights.router, {&x_, nullptr}, sub_out_);
  router.rows = wave_rows_;
  router.y_bf16 = nullptr;
  router.y_f32 = router_logits_.data();
  router.y_stride = shape_.experts;
  linear({router});
  route(weights.router_bias);
  group_by_expert();
  run_experts(weights);
  combine();
  tap(taps::kMoe, sub_out_);
}

void Forward::logits(std::span<const int32_t> rows, int32_t vocab_count, float* out, int64_t out_stride) {
  CHECK_LE(vocab_count, weights_.head().out);
  if (rows.empty()) return;
  const auto count = static_cast<int64_t>(rows.size());
  CHECK_LE(count, rows_);
  const auto eps = static_cast<float>(shape_.rms_eps);
  threads_.run(count, grain(count, 0.15 * shape_.hidden), [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t i = begin; i < end; ++i)
      kernels_.rms_norm(h_.row(rows[static_cast<size_t>(i)]), weights_.final_norm().data(), h_.width, eps,
                        x_.row(i));
  });
  tap(taps::kFinalNorm, x_, count);

  Matrix head = weights_.head();
  head.out = vocab_count;
  LinearTask task = task_of(head, {&x_, nullptr}, x_);
  task.rows = count;
  task.y_bf16 = nullptr;
  task.y_f32 = out;
  task.y_stride = out_stride;
  linear({part_of(task, logits_part(share_, vocab_count, share_.rank))});
  if (has_ranks()) {
    std::vector<comm::Slice> slices;
    constexpr auto kBytes = static_cast<int64_t>(sizeof(float));
    for (int32_t rank = 0; rank < share_.ranks; ++rank) {
      const model::Range part = logits_part(share_, vocab_count, rank);
      slices.push_back({part.begin * kBytes, part.end * kBytes});
    }
    gather({{reinterpret_cast<std::byte*>(out), count, out_stride * kBytes, slices, {}}});
  }
  for (int64_t i = 0; sink_ != nullptr && i < count; ++i)
    sink_->tap(taps::kLogits, -1, 1, vocab_count, out + i * out_stride);
}

// ---------------------------------------------------------------------------------------------------------------
// What surrounds the kernels.

// Pieces long enough to pay for handing them out, and enough of them to balance.
int64_t Forward::grain(int64_t items, double item_ns) const {
  constexpr double kPieceNs = 4000;
  constexpr int64_t kPiecesPerThread = 8;
  const auto worthwhile = static_cast<int64_t>(kPieceNs / std::max(item_ns, 1.0)) + 1;
  return std::max<int64_t>(worthwhile, items / (kPiecesPerThread * threads_.size()) + 1);
}

void Forward::prepare(const StepRows& step) {
  step_ = step;
  rows_ = static_cast<int64_t>(step.tokens.size());
  bytes_read_ = 0;
  CHECK_LE(rows_, rows_max_);
  sequence_of_.assign(step.tokens.size(), 0);
  positions_.assign(step.tokens.size(), 0);
  for (size_t s = 0; s < step.sequences.size(); ++s) {
    const executor::SequenceRows& sequence = step.sequences[s];
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      const auto row = static_cast<size_t>(sequence.row_begin + i);
      sequence_of_[row] = static_cast<int32_t>(s);
      positions_[row] = sequence.first_position + i;
    }
  }
  const auto half = static_cast<int64_t>(frequencies_.size());
  threads_.run(rows_, grain(rows_, 2000), [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t row = begin; row < end; ++row) {
      weights_.embed(step.tokens[static_cast<size_t>(row)], h_.row(row));
      for (int64_t i = 0; i < half; ++i) {
        const double angle = positions_[static_cast<size_t>(row)] * frequencies_[static_cast<size_t>(i)];
        cos_.data()[row * half + i] = static_cast<float>(std::cos(angle));
        sin_.data()[row * half + i] = static_cast<float>(std::sin(angle));
      }
    }
  });
  plan_attention();
  agree_on_rows();
}

void Forward::norm(const Rows& x, const std::vector<float>& weight, const Rows& out, int64_t out_begin) {
  const auto eps = static_cast<float>(shape_.rms_eps);
  threads_.run(rows_, grain(rows_, 0.15 * static_cast<double>(x.width)),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t row = begin; row < end; ++row)
                   kernels_.rms_norm(x.row(row), weight.data(), x.width, eps, out.row(out_begin + row));
               });
}

void Forward::add_to_hidden(std::string_view name) {
  threads_.run(rows_, grain(rows_, 0.1 * shape_.hidden), [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t row = begin; row < end; ++row) kernels_.add(h_.row(row), sub_out_.row(row), h_.width);
  });
  tap(name, h_);
}

Forward::Input Forward::quantised(const Rows& x, const Rows& grid, const HostBuffer<float>& scales,
                                  int64_t rows) {
  if (weights_.arithmetic() != common::Arithmetic::kW8a8 || shape_.fp8_block_cols == 0) return {&x, nullptr};
  const int64_t groups = groups_of(x.width, shape_);
  threads_.run(rows, grain(rows, 1.0 * static_cast<double>(x.width)),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t row = begin; row < end; ++row)
                   kernels_.quantise(x.row(row), x.width, shape_.fp8_block_cols, grid.row(row),
                                     scales.data() + row * groups);
               });
  return {&grid, scales.data()};
}

LinearTask Forward::task_of(const Matrix& weight, const Input& input, const Rows& out) const {
  return {.weight = &weight,
          .row_end = weight.out,
          .rows = rows_,
          .x = input.rows->row(0),
          .x_stride = input.rows->stride,
          .x_scales = weight.kind == WeightKind::kE4m3 ? input.scales : nullptr,
          .y_bf16 = out.row(0),
          .y_stride = out.stride};
}

LinearTask Forward::part_of(LinearTask task, const model::Range& rows) {
  task.row_begin = rows.begin;
  task.row_end = rows.end;
  return task;
}

LinearTask Forward::heads_of(LinearTask task, const model::Range& heads, int32_t head_dim) {
  return part_of(task, {heads.begin * head_dim, heads.end * head_dim});
}

comm::Gather Forward::slices_of(const Rows& rows, std::span<const comm::Slice> slices, int64_t count) const {
  return {reinterpret_cast<std::byte*>(rows.row(0)),
          count,
          rows.stride * static_cast<int64_t>(sizeof(uint16_t)),
          slices,
          {}};
}

void Forward::gather(std::initializer_list<comm::Gather> buffers) {
  if (has_ranks()) share_.comm->gather(std::span(buffers.begin(), buffers.size()));
}

void Forward::gather_of_all(const comm::Gather& buffer) {
  if (share_.ranks_in_all > 1) share_.comm_of_all->gather(std::span(&buffer, 1));
}

void Forward::set_taps(model::TapSink* sink) {
  CHECK_EQ(share_.ranks_in_all, 1);  // a rank does not see every tensor whole
  sink_ = sink;
}

double Forward::weight_row_ns(const Matrix& weight, int64_t rows) {
  const auto in = static_cast<double>(weight.in);
  return in * static_cast<double>(weight.element_bytes()) / 12 + in * static_cast<double>(rows) / 50;
}

// All tiles of all tasks in one loop: small projections share the threads.
void Forward::linear(std::initializer_list<LinearTask> tasks) {
  int64_t tiles = 0;
  double ns = 0;
  for (const LinearTask& task : tasks) {
    const int64_t rows = task.row_end - task.row_begin;
    if (rows == 0) continue;
    bytes_read_ += task.weight->bytes() * rows / task.weight->out;
    tiles += (rows + kTileRows - 1) / kTileRows;
    ns += weight_row_ns(*task.weight, task.rows) * static_cast<double>(rows);
  }
  threads_.run(tiles, grain(tiles, ns / static_cast<double>(std::max<int64_t>(tiles, 1))),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (LinearTask task : tasks) {
                   const int64_t first_row = task.row_begin, last_row = task.row_end;
                   const int64_t own = (last_row - first_row + kTileRows - 1) / kTileRows;
                   const int64_t first = std::max<int64_t>(begin, 0), last = std::min(end, own);
                   if (first < last) {
                     task.row_begin = first_row + first * kTileRows;
                     task.row_end = std::min(first_row + last * kTileRows, last_row);
                     task.scratch = linear_scratch(thread);
                     kernels_.linear(task);
                   }
                   begin -= own;
                   end -= own;
                 }
               });
}

void Forward::rotate(const Rows& x, const model::Range& own) {
  const auto heads = static_cast<int32_t>(own.size());
  const auto half = static_cast<int32_t>(frequencies_.size());
  threads_.run(rows_, grain(rows_, 1.0 * heads * half), [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t row = begin; row < end; ++row)
      kernels_.rope(x.row(row) + own.begin * shape_.head_dim, heads, shape_.head_dim, half,
                    cos_.data() + row * half, sin_.data() + row * half);
  });
}

void Forward::tap(std::string_view name, const Rows& rows) {
  tap(name, rows, rows_);
}

void Forward::tap(std::string_view name, const Rows& rows, int64_t count) {
  if (sink_ == nullptr) return;
  tap_values_.resize(static_cast<size_t>(count * rows.width));
  for (int64_t row = 0; row < count; ++row)
    for (int64_t i = 0; i < rows.width; ++i)
      tap_values_[static_cast<size_t>(row * rows.width + i)] = bf16_to_float(rows.row(row)[i]);
  sink_->tap(name, layer_, count, rows.width, tap_values_.data());
}

void Forward::tap_floats(std::string_view name, const float* values, int64_t width) {
  if (sink_ != nullptr) sink_->tap(name, layer_, rows_, width, values);
}

}  // namespace minimax::backend::cpu
