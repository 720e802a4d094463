// The experts of a step. All rows that chose an expert go through it together, so that its weights are read
// from memory once; each row keeps its own sums, added in the order of its choice. Of several ranks each
// takes its columns of every expert, or with expert parallelism its experts; all know the whole routing. With
// several replicas the rows of all of them are gathered before and go through the experts as if they were of
// one step; each replica then takes its own.

#include <algorithm>
#include <cmath>

#include "backend/cpu/forward.h"
#include "base/check.h"
#include "base/float_types.h"

namespace minimax::backend::cpu {

namespace taps = model::taps;

// How many rows each replica has brought: what the exchanges of this step are about.
void Forward::agree_on_rows() {
  wave_rows_ = rows_;
  wave_begin_ = 0;
  if (!has_replicas()) return;
  replica_rows_.assign(static_cast<size_t>(share_.replicas), 0);
  replica_rows_[static_cast<size_t>(share_.replica)] = static_cast<int32_t>(rows_);
  gather_of_all({.data = reinterpret_cast<std::byte*>(replica_rows_.data()),
                 .rows = 1,
                 .stride = std::ssize(replica_rows_) * static_cast<int64_t>(sizeof(int32_t)),
                 .slices = share_.count_slices,
                 .row_groups = {}});
  wave_row_replicas_.clear();
  for (int32_t replica = 0; replica < share_.replicas; ++replica) {
    const int32_t rows = replica_rows_[static_cast<size_t>(replica)];
    CHECK(rows >= 0 && rows <= rows_max_);
    if (replica == share_.replica) wave_begin_ = std::ssize(wave_row_replicas_);
    wave_row_replicas_.insert(wave_row_replicas_.end(), static_cast<size_t>(rows),
                              replica == share_.replica ? comm::kRowNotRead : replica);
  }
  wave_rows_ = std::ssize(wave_row_replicas_);
}

// What the experts read, of the other replicas.
void Forward::gather_rows() {
  if (!has_replicas()) return;
  comm::Gather rows = slices_of(x_, share_.row_slices, wave_rows_);
  rows.row_groups = wave_row_replicas_;
  gather_of_all(rows);
}

void Forward::route(const std::vector<float>& bias) {
  expert_ids_.resize(static_cast<size_t>(wave_rows_ * shape_.experts_per_token));
  threads_.run(wave_rows_, grain(wave_rows_, 20.0 * shape_.experts),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t row = begin; row < end; ++row) route_row(row, bias);
               });
  if (sink_ == nullptr) return;
  tap_floats(taps::kRouterLogits, router_logits_.data(), shape_.experts);
  tap_floats(taps::kRouterScores, router_scores_.data(), shape_.experts);
  const std::vector<float> ids(expert_ids_.begin(), expert_ids_.end());
  tap_floats(taps::kExpertIds, ids.data(), shape_.experts_per_token);
  tap_floats(taps::kExpertWeights, expert_weights_.data(), shape_.experts_per_token);
}

// As ref::route: float(sigmoid), the largest of score + bias, ties to the lower id, weights without bias.
void Forward::route_row(int64_t row, const std::vector<float>& bias) {
  const int32_t experts = shape_.experts, chosen = shape_.experts_per_token;
  const float* const logits = router_logits_.data() + row * experts;
  float* const scores = router_scores_.data() + row * experts;
  for (int32_t e = 0; e < experts; ++e)
    scores[e] = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(logits[e]))));
  int32_t* const ids = expert_ids_.data() + row * chosen;
  const auto choice = [&](int32_t e) { return scores[e] + bias[static_cast<size_t>(e)]; };
  double sum = 0;
  for (int32_t slot = 0; slot < chosen; ++slot) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; ++e) {
      if (std::find(ids, ids + slot, e) != ids + slot) continue;
      if (best < 0 || choice(e) > choice(best)) best = e;
    }
    ids[slot] = best;
    sum += scores[best];
  }
  for (int32_t slot = 0; slot < chosen; ++slot)
    expert_weights_.data()[row * chosen + slot] = static_cast<float>(scores[ids[slot]] / sum);
}

// Counting sort of parts (row * experts_per_token + slot) by expert.
void Forward::group_by_expert() {
  const size_t parts = expert_ids_.size();
  parts_.resize(parts);
  part_rows_.resize(parts);
  std::vector<int32_t>& begin = expert_begin_;
  begin.assign(static_cast<size_t>(shape_.experts) + 1, 0);
  for (const int32_t e : expert_ids_) ++begin[static_cast<size_t>(e) + 1];
  expert_rows_.clear();
  for (int32_t e = 0; e < shape_.experts; ++e) {
    const int32_t count = begin[static_cast<size_t>(e) + 1];
    if (count > 0 && share_.experts.contains(e))
      expert_rows_.push_back({e, begin[static_cast<size_t>(e)], count});
    begin[static_cast<size_t>(e) + 1] += begin[static_cast<size_t>(e)];
  }
  for (size_t part = 0; part < parts; ++part) {
    const auto at = static_cast<size_t>(begin[static_cast<size_t>(expert_ids_[part])]++);
    parts_[at] = static_cast<int32_t>(part);
    part_rows_[at] = static_cast<int32_t>(part) / shape_.experts_per_token;
  }
}

void Forward::run_experts(const LayerWeights& weights) {
  const auto active = static_cast<int64_t>(expert_rows_.size());
  const auto parts = static_cast<int64_t>(parts_.size());
  for (const ExpertRows& rows : expert_rows_) {
    const ExpertWeights& expert = weights.experts[static_cast<size_t>(rows.expert)];
    bytes_read_ +=
        (expert.gate.bytes() + expert.up.bytes()) * share_.expert_width.size() / shape_.expert_width +
        expert.down.bytes() * share_.expert_out.size() / shape_.hidden;
  }
  const Input x = quantised(x_, x_grid_, x_scales_, wave_rows_);
  // Pieces of an expert's columns: whole vectors of bf16, so that swiglu stays inside its piece.
  constexpr int64_t kPiece = 64;
  const int64_t inner_pieces = (share_.expert_width.size() + kPiece - 1) / kPiece;
  const int64_t each = (parts + active - 1) / std::max<int64_t>(active, 1);
  const double inner_ns = 2 * kPiece * weight_row_ns(weights.experts[0].gate, each);
  threads_.run(active * inner_pieces, grain(active * inner_pieces, inner_ns),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t i = begin; i < end; ++i) {
                   const ExpertRows& rows = expert_rows_[static_cast<size_t>(i / inner_pieces)];
                   const int64_t column = share_.expert_width.begin + i % inner_pieces * kPiece;
                   gate_and_up(weights.experts[static_cast<size_t>(rows.expert)], rows, x, column,
                               std::min(column + kPiece, share_.expert_width.end), thread);
                 }
               });

  gather_inner();
  tap_inner();

  const Input inner = quantised(gate_, inner_grid_, inner_scales_, parts);
  const int64_t out_pieces = (share_.expert_out.size() + kPiece - 1) / kPiece;
  const double out_ns = kPiece * weight_row_ns(weights.experts[0].down, each);
  threads_.run(active * out_pieces, grain(active * out_pieces, out_ns),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t i = begin; i < end; ++i) {
                   const ExpertRows& rows = expert_rows_[static_cast<size_t>(i / out_pieces)];
                   const ExpertWeights& expert = weights.experts[static_cast<size_t>(rows.expert)];
                   LinearTask task = task_of(expert.down, inner, expert_out_);
                   task.rows = rows.count;
                   task.x += rows.begin * task.x_stride;
                   if (task.x_scales != nullptr) task.x_scales += rows.begin * expert.down.scale_cols();
                   task.y_index = parts_.data() + rows.begin;
                   task.row_begin = share_.expert_out.begin + i % out_pieces * kPiece;
                   task.row_end = std::min(task.row_begin + kPiece, share_.expert_out.end);
                   task.scratch = linear_scratch(thread);
                   kernels_.linear(task);
                 }
               });
}

// The inner activations that `down` needs whole: parts stay sorted by expert here.
void Forward::gather_inner() {
  if (share_.expert_width.size() == shape_.expert_width) return;
  comm::Gather slices = slices_of(gate_, share_.inner_slices, static_cast<int64_t>(parts_.size()));
  if (share_.whole_experts) {
    part_groups_.clear();
    for (const int32_t part : parts_)
      part_groups_.push_back(
          share_.group_of_expert[static_cast<size_t>(expert_ids_[static_cast<size_t>(part)])]);
    slices.row_groups = part_groups_;
  }
  gather_of_all(slices);
}

// The weighted sum over a row's experts: of this rank's columns, or of all with what other ranks' experts
// gave. Only of this replica's rows.
void Forward::combine() {
  const int64_t slots = shape_.experts_per_token;
  model::Range columns = {0, shape_.hidden};
  if (has_ranks() && !share_.whole_experts) columns = share_.expert_out;
  if (share_.whole_experts) {
    part_groups_.assign(expert_ids_.size(), comm::kRowNotRead);
    for (auto part = static_cast<size_t>(wave_begin_ * slots);
         part < static_cast<size_t>((wave_begin_ + rows_) * slots); ++part)
      part_groups_[part] = share_.group_of_expert[static_cast<size_t>(expert_ids_[part])];
    comm::Gather slices =
        slices_of(expert_out_, share_.expert_out_slices, static_cast<int64_t>(expert_ids_.size()));
    slices.row_groups = part_groups_;
    gather_of_all(slices);
  }
  threads_.run(rows_, grain(rows_, 0.05 * static_cast<double>(slots * columns.size())),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t row = begin; row < end; ++row)
                   kernels_.combine(expert_out_.row((wave_begin_ + row) * slots) + columns.begin,
                                    expert_out_.stride, expert_weights_.data() + (wave_begin_ + row) * slots,
                                    shape_.experts_per_token, columns.size(),
                                    sub_out_.row(row) + columns.begin);
               });
  if (!share_.whole_experts) gather({slices_of(sub_out_, share_.expert_out_slices, rows_)});
}

void Forward::tap_inner() {
  if (sink_ == nullptr) return;
  const int64_t width = shape_.expert_width;
  tap_values_.resize(parts_.size() * static_cast<size_t>(width));
  for (size_t i = 0; i < parts_.size(); ++i)
    for (int64_t column = 0; column < width; ++column)
      tap_values_[static_cast<size_t>(parts_[i] * width + column)] =
          bf16_to_float(gate_.row(static_cast<int64_t>(i))[column]);
  tap_floats(taps::kExpertInner, tap_values_.data(), shape_.experts_per_token * width);
}

// Columns [begin, end) of the inner activations of one expert's rows, left in gate_.
void Forward::gate_and_up(const ExpertWeights& weights, const ExpertRows& rows, const Input& x, int64_t begin,
                          int64_t end, int32_t thread) {
  for (const bool is_gate : {true, false}) {
    const Rows& out = is_gate ? gate_ : up_;
    LinearTask task = task_of(is_gate ? weights.gate : weights.up, x, out);
    task.rows = rows.count;
    task.x_index = part_rows_.data() + rows.begin;
    task.y_bf16 = out.row(rows.begin);
    task.row_begin = begin;
    task.row_end = end;
    task.scratch = linear_scratch(thread);
    kernels_.linear(task);
  }
  for (int32_t i = rows.begin; i < rows.begin + rows.count; ++i) {
    uint16_t* const gate = gate_.row(i) + begin;
    kernels_.swiglu(gate, up_.row(i) + begin, end - begin, gate);
  }
}

}  // namespace minimax::backend::cpu
