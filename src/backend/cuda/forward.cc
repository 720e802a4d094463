#include "backend/cuda/forward.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"

namespace minimax::backend::cuda {

namespace taps = model::taps;
using executor::SequenceRows;

// Partial results of leaves that may be kept apart; more rows than that fold in place.
static constexpr int64_t kPartialBytesMax = int64_t{64} << 20;
// Below this many CTAs the leaves of a row are spread over the processors.
static constexpr int64_t kCtasEnough = 512;

static int64_t aligned(int64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

static int64_t groups_of(int64_t width) {
  return (width + kScaleCols - 1) / kScaleCols;
}

// Up by a quarter at most, so that few numbers of leaves are met: a graph is for one of them.
static int32_t rounded_leaves(int32_t leaves) {
  int32_t step = 1;
  while (step * 8 <= leaves) step *= 2;
  return (leaves + step - 1) / step * step;
}

int64_t ForwardBuffers::lay_out(std::byte* base, const model::ModelShape& shape,
                                const model::ModelShape& whole, const ForwardSizes& sizes) {
  int64_t used = 0;
  const auto take = [&](auto*& pointer, int64_t count) {
    pointer =
        base == nullptr ? nullptr : reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base + used);
    used += aligned(count * static_cast<int64_t>(sizeof(*pointer)));
  };
  const bool sharded = shape.q_heads != whole.q_heads;
  const int64_t rows = sizes.rows_max, expert_rows = sizes.expert_rows_max,
                parts = expert_rows * shape.experts_per_token;
  take(device_image_, StepImage::bytes(sizes));
  for (uint16_t** const buffer : {&h_, &norm_, &out_}) take(*buffer, rows * shape.hidden);
  for (uint16_t** const buffer : {&q_, &q_turned_, &attn_}) take(*buffer, rows * shape.q_width());
  for (uint16_t** const buffer : {&k_, &v_, &k_normed_, &k_turned_}) take(*buffer, rows * shape.kv_width());
  take(inner_, parts * shape.expert_width);
  take(expert_out_, parts * shape.hidden);
  const int64_t widest =
      std::max({expert_rows * shape.hidden, rows * shape.q_width(), parts * shape.expert_width});
  // A slice of inner values may begin inside a group.
  const int64_t expert_groups = groups_of(shape.expert_width) + (sharded ? 1 : 0);
  const int64_t groups = std::max(
      {expert_rows * groups_of(shape.hidden), rows * groups_of(shape.q_width()), parts * expert_groups});
  take(grid_, widest * 2);
  take(grid_scales_, groups);
  take(cos_, rows * shape.rotary_dim / 2);
  take(sin_, rows * shape.rotary_dim / 2);
  take(router_logits_, expert_rows * whole.experts);
  take(scores_, expert_rows * whole.experts);
  take(expert_weights_, parts);
  take(expert_ids_, parts);
  take(parts_, parts);
  take(part_tiles_, parts);
  take(part_tile_count_, 1);
  take(partials_, kPartialBytesMax / 4);
  take(final_, sizes.logit_rows_max * int64_t{shape.hidden});
  take(logits_, sizes.logit_rows_max * int64_t{whole.vocab_rows});
  if (sharded) take(rank_sums_, rows * shape.hidden);  // of a rank alone
  return used;
}

int64_t StepImage::bytes(const ForwardSizes& sizes) {
  const int64_t rows = sizes.rows_max;
  return aligned(4 * rows) * 2 + aligned(8 * rows) + aligned(16 * rows) +
         aligned(4 * sizes.table_blocks_max) + aligned(4 * sizes.logit_rows_max);
}

StepImage StepImage::at(std::byte* base, const ForwardSizes& sizes) {
  StepImage image{};
  const auto place = [&](auto*& pointer, int64_t count) {
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base);
    base += aligned(count * static_cast<int64_t>(sizeof(*pointer)));
  };
  place(image.tokens, sizes.rows_max);
  place(image.positions, sizes.rows_max);
  place(image.places, sizes.rows_max);
  place(image.tiles, sizes.rows_max);
  place(image.logit_rows, sizes.logit_rows_max);
  place(image.table, sizes.table_blocks_max);
  return image;
}

Forward::Forward(const Parts& parts, const ForwardSizes& sizes)
    : weights_(parts.weights),
      kv_(parts.kv),
      stream_(parts.stream),
      group_(parts.peers),
      world_(parts.world),
      peers_(parts.peers != nullptr
                 ? parts.peers->view(parts.weights.shard().rank % parts.weights.shard().layout.tp)
                 : PeerView{}),
      world_peers_(parts.world != nullptr ? parts.world->view(parts.weights.shard().rank) : PeerView{}),
      shape_(parts.weights.shape()),
      whole_(parts.weights.whole_shape()),
      sizes_(sizes) {
  CHECK_GE(sizes.expert_rows_max, sizes.rows_max);
  if (shape_.hidden > kHiddenMax)
    throw Error("cuda: config.json: hidden_size: expected at most {}, found {}", kHiddenMax, shape_.hidden);
  arena_ = DeviceMemory(lay_out(nullptr, shape_, whole_, sizes_), "activations (--max-num-batched-tokens)");
  lay_out(arena_.data(), shape_, whole_, sizes_);
  staging_ = PinnedMemory(StepImage::bytes(sizes_), "staging of a step");
  host_ = StepImage::at(staging_.data(), sizes_);
  device_ = StepImage::at(device_image_, sizes_);
  if (group_ != nullptr) {
    group_->publish(peers_.rank, {weights_.embedding(), logits_});
    rank_sums_ = reinterpret_cast<float*>(peers_.memory[peers_.rank] + peers_.at.partials);
  }
  std::vector<double> frequencies;
  for (int32_t i = 0; i < shape_.rotary_dim / 2; ++i)
    frequencies.push_back(std::pow(shape_.rope_theta, -2.0 * i / shape_.rotary_dim));
  const auto bytes = static_cast<int64_t>(frequencies.size() * sizeof(double));
  frequencies_ = DeviceMemory(bytes, "frequencies");
  frequencies_.upload(0, frequencies.data(), bytes);
}

int64_t Forward::buffer_bytes() const {
  return arena_.bytes() + staging_.bytes();
}

// Tiles of rows, and whether leaves are spread: by size alone, for no choice changes a bit.
void Forward::plan_attention(const StepRows& step) {
  int32_t longest = 1, most_rows = 1;
  for (const SequenceRows& sequence : step.sequences) {
    longest = std::max(longest, sequence.first_position + sequence.row_count);
    most_rows = std::max(most_rows, sequence.row_count);
  }
  leaves_max_ = rounded_leaves((longest + kLeafKeys - 1) / kLeafKeys);
  decode_only_ = most_rows == 1;
  const int64_t partial_bytes = int64_t{rows_} * shape_.q_heads * leaves_max_ * kPartialFloats * 4;
  wide_ = form_ == AttentionForm::kBySize
              ? most_rows > 1
              : form_ == AttentionForm::kWide || form_ == AttentionForm::kWideLeaves;
  const int32_t rows_each = wide_ ? wide_rows(shape_.q_heads / shape_.kv_heads) : 1;
  tile_count_ = 0;
  for (const SequenceRows& sequence : step.sequences)
    for (int32_t i = 0; i < sequence.row_count; i += rows_each)
      host_.tiles[tile_count_++] = {.row = sequence.row_begin + i,
                                    .count = std::min(rows_each, sequence.row_count - i),
                                    .position = sequence.first_position + i,
                                    .table_begin = sequence.block_begin};
  const bool few = int64_t{tile_count_} * shape_.kv_heads < kCtasEnough;
  const bool asked = form_ == AttentionForm::kNarrowLeaves || form_ == AttentionForm::kWideLeaves;
  leaves_apart_ = partial_bytes <= kPartialBytesMax && leaves_max_ <= 65535 &&
                  (form_ == AttentionForm::kBySize ? few && leaves_max_ > 1 : asked);
}

void Forward::prepare(const StepRows& step) {
  rows_ = static_cast<int32_t>(step.tokens.size());
  CHECK_LE(rows_, sizes_.rows_max);
  CHECK_LE(step.block_table.size(), static_cast<size_t>(sizes_.table_blocks_max));
  std::copy(step.tokens.begin(), step.tokens.end(), host_.tokens);
  std::copy(step.block_table.begin(), step.block_table.end(), host_.table);
  for (const SequenceRows& sequence : step.sequences) {
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      const int32_t position = sequence.first_position + i;
      const int64_t block =
          step.block_table[static_cast<size_t>(sequence.block_begin + position / kv_.block_tokens())];
      CHECK_LT(block, kv_.block_count());
      host_.positions[sequence.row_begin + i] = position;
      host_.places[sequence.row_begin + i] = block * kv_.block_tokens() + position % kv_.block_tokens();
    }
  }
  plan_attention(step);
  const std::byte* const table = reinterpret_cast<const std::byte*>(host_.table);
  stream_.to_device(device_image_, staging_.data(),
                    table - staging_.data() + static_cast<int64_t>(step.block_table.size_bytes()));
  if (rows_ > 0)
    rope_table(device_.positions, frequencies_.as<double>(), rows_, shape_.rotary_dim / 2, cos_, sin_,
               stream_.handle());
  layer_ = -1;
}

void Forward::run(const StepRows& step) {
  prepare(step);
  if (shares_experts()) {
    const std::span<const int32_t> rows = world_->rows_of_all(world_peers_.rank, rows_);
    const int32_t tp = weights_.shard().layout.tp, first = world_peers_.rank / tp * tp;
    wave_ = {.own = rows_};
    for (int32_t r = 0; r < world_peers_.ranks; r += tp) {
      if (r == first) wave_.begin = wave_.all;
      wave_.all += rows[static_cast<size_t>(r)];
    }
  }
  if (expert_rows() == 0) return;
  // Graphs are made and given up while no rank's kernels wait for this one. Ranks of a replica do so at the
  // same steps; replicas do not know it of each other.
  bool changed = false;
  Graph* const graph = find_graph(changed);
  if (shares_experts()) {
    world_->meet();
  } else if (changed && group_ != nullptr) {
    group_->meet();
  }
  if (graph == nullptr) return launch_layers();
  stream_.launch(*graph);
  ++graph_launches_;
}

// nullptr: the step's form is not one for graphs, or it was never met before. `changed`: whether a graph was
// made, or one may have been given up.
Graph* Forward::find_graph(bool& changed) {
  if (!graphs_on_ || !decode_only_ || sink_ != nullptr || expert_rows() > kGraphRowsMax) return nullptr;
  const StepForm form{rows_, tile_count_, leaves_apart_ ? leaves_max_ : 0, wide_, leaves_apart_, wave_};
  auto found =
      std::find_if(graphs_.begin(), graphs_.end(), [&](const StepGraph& g) { return g.form == form; });
  if (found == graphs_.end()) {
    // By now its kernels may be new to the device, which cannot load them while it records.
    if (graphs_.size() == kGraphsMax)
      graphs_.erase(
          std::min_element(graphs_.begin(), graphs_.end(),
                           [](const StepGraph& a, const StepGraph& b) { return a.last_use < b.last_use; }));
    graphs_.push_back({.form = form, .last_use = ++graph_clock_, .graph = {}});
    changed = true;
    return nullptr;
  }
  found->last_use = ++graph_clock_;
  if (found->graph.empty()) {
    stream_.begin_recording();
    launch_layers();
    found->graph = stream_.end_recording();
    changed = true;
  }
  return &found->graph;
}

void Forward::launch_layers() {
  embed_rows();
  tap(taps::kEmbed, h_, rows_, shape_.hidden);
  begin_layers(0);
  for (int32_t n = 0; n < shape_.layers; ++n) layer_body(n, n + 1 < shape_.layers ? n + 1 : -1);
  layer_ = -1;
}

void Forward::embed_rows() {
  if (rows_ == 0) return;
  EmbedTask task{.tokens = device_.tokens, .hidden = shape_.hidden, .out = h_};
  const Shard& shard = weights_.shard();
  task.parts = peers_.ranks;
  for (int32_t i = 0; i < task.parts; ++i) {
    const int32_t rank = group_ == nullptr ? shard.rank : i;
    const model::Range rows = model::vocab_rows_of(whole_, shard.layout, rank);
    task.tables[i] = group_ == nullptr ? weights_.embedding() : group_->shared(rank).embedding;
    task.first_row[i] = static_cast<int32_t>(rows.begin);
    task.first_row[i + 1] = static_cast<int32_t>(rows.end);
  }
  embed(task, rows_, stream_.handle());
}

// The end of half a layer: what it gave joins the residual stream, over all ranks.
void Forward::join(const ResidualTask& task) {
  if (sharded()) {
    residual_norm_over_ranks(task, rank_sums_, peers_, peer_form_, stream_.handle());
  } else {
    residual_norm(task, stream_.handle());
  }
}

// The same of what the experts gave.
void Forward::join_parts(const ResidualTask& task) {
  if (shares_experts()) {
    collect_parts(task, wave_, world_peers_, stream_.handle());
  } else {
    join(task);
  }
}

void Forward::set_hidden(std::span<const uint16_t> bits) {
  CHECK_EQ(bits.size(), static_cast<size_t>(rows_) * static_cast<size_t>(shape_.hidden));
  stream_.to_device(h_, bits.data(), static_cast<int64_t>(bits.size() * 2));
  stream_.wait();
}

void Forward::layer(int32_t n) {
  begin_layers(n);
  layer_body(n, -1);
}

// The residual stream's next norm, and its quantisation where `reader` wants it.
ResidualTask Forward::norm_task(const float* norm, const Matrix& reader, GridOrder order) const {
  const bool quantised = quantises(reader);
  return {.h = h_,
          .rows = rows_,
          .width = shape_.hidden,
          .norm = norm,
          .eps = static_cast<float>(shape_.rms_eps),
          .out = norm_,
          .grid = quantised ? grid_ : nullptr,
          .scales = quantised ? grid_scales_ : nullptr,
          .order = order};
}

void Forward::begin_layers(int32_t n) {
  layer_ = n;
  const Matrix& q = weights_.layer(n).q;
  residual_norm(norm_task(weights_.layer(n).attn_norm, q, order_for(q, rows_, false)), stream_.handle());
  tap(taps::kAttnNorm, norm_, rows_, shape_.hidden);
}

// Layer n from its normed input on; leaves that of layer `next`, if there is one.
void Forward::layer_body(int32_t n, int32_t next) {
  const LayerWeights& weights = weights_.layer(n);
  if (rows_ > 0) attention_part(n);
  ResidualTask attended =
      norm_task(weights.mlp_norm, weights.gate, order_for(weights.gate, expert_tile(), true));
  if (shares_experts()) attended.grid = nullptr;  // quantised when all rows are there
  attended.y = out_;
  attended.y_out = sharded() && sink_ != nullptr ? out_ : nullptr;
  join(attended);
  if (sharded()) tap(taps::kOProj, out_, rows_, shape_.hidden);
  tap(taps::kAttnResidual, h_, rows_, shape_.hidden);
  tap(taps::kMlpNorm, norm_, rows_, shape_.hidden);
  experts_part(n);
  ResidualTask mixed{.h = h_, .rows = rows_, .width = shape_.hidden};
  if (next >= 0) {
    const Matrix& q = weights_.layer(next).q;
    mixed = norm_task(weights_.layer(next).attn_norm, q, order_for(q, rows_, false));
  }
  mixed.parts = expert_out_;
  mixed.slot_weights = expert_weights_;
  mixed.slots = shape_.experts_per_token;
  mixed.slot_experts = expert_ids_;
  mixed.held = weights_.held();
  mixed.y_out = sink_ != nullptr ? out_ : nullptr;
  join_parts(mixed);
  tap(taps::kMoe, out_, rows_, shape_.hidden);
  tap(taps::kMlpResidual, h_, rows_, shape_.hidden);
  if (next < 0) return;
  layer_ = next;
  tap(taps::kAttnNorm, norm_, rows_, shape_.hidden);
}

bool Forward::quantises(const Matrix& weight) const {
  return weight.kind == WeightKind::kE4m3 && weights_.arithmetic() == common::Arithmetic::kW8a8;
}

GridOrder Forward::order_for(const Matrix& weight, int32_t columns, bool of_experts) const {
  return quantises(weight) ? grid_order(weight, columns, of_experts) : GridOrder::kCodes;
}

int32_t Forward::expert_tile() const {
  return tile_rows(int64_t{expert_rows()} * shape_.experts_per_token, whole_.experts);
}

// What `weight` multiplies: x, or what stands for it in grid_.
void Forward::set_input(LinearTask& task, const Matrix& weight, const uint16_t* x, GridOrder order) const {
  const bool quantised = quantises(weight);
  task.x = quantised ? static_cast<const void*>(grid_) : x;
  task.x_scales = quantised ? grid_scales_ : nullptr;
  task.order = order;
}

QuantiseTask Forward::quantise_task(const Matrix& weight, const uint16_t* x, int32_t rows,
                                    GridOrder order) const {
  return {.x = x,
          .rows = rows,
          .width = weight.in,
          .lead = weight.lead_cols,
          .out = grid_,
          .scales = grid_scales_,
          .order = order};
}

void Forward::attention_part(int32_t n) {
  const LayerWeights& weights = weights_.layer(n);
  const StreamHandle stream = stream_.handle();
  LinearTask projection{.outputs = {{.weight = weights.q, .y_bf16 = q_, .y_stride = shape_.q_width()},
                                    {.weight = weights.k, .y_bf16 = k_, .y_stride = shape_.kv_width()},
                                    {.weight = weights.v, .y_bf16 = v_, .y_stride = shape_.kv_width()}},
                        .output_count = 3,
                        .rows = rows_};
  set_input(projection, weights.q, norm_, order_for(weights.q, rows_, false));
  linear(projection, stream);
  tap(taps::kQProj, q_, rows_, shape_.q_width());
  tap(taps::kKProj, k_, rows_, shape_.kv_width());
  tap(taps::kVProj, v_, rows_, shape_.kv_width());
  const KvLayer kv = kv_.layer(n);
  const bool tapped = sink_ != nullptr;
  uint16_t* const q_normed = attn_;  // free until the attention
  rotate({.q = q_,
          .k = k_,
          .v = v_,
          .rows = rows_,
          .q_heads = shape_.q_heads,
          .q_norm = weights.q_norm,
          .k_norm = weights.k_norm,
          .eps = static_cast<float>(shape_.rms_eps),
          .q_width = peers_.ranks > 1 ? whole_.q_width() : shape_.q_width(),
          .k_width = peers_.ranks > 1 ? whole_.kv_width() : shape_.kv_width(),
          .k_copies = std::max(1, peers_.ranks / whole_.kv_heads),
          .peers = peers_,
          .half = shape_.rotary_dim / 2,
          .cos = cos_,
          .sin = sin_,
          .q_out = q_turned_,
          .places = device_.places,
          .kv = kv,
          .q_normed = tapped ? q_normed : nullptr,
          .k_normed = tapped ? k_normed_ : nullptr,
          .k_out = tapped ? k_turned_ : nullptr},
         stream);
  if (shape_.qk_norm) {
    tap(taps::kQNorm, q_normed, rows_, shape_.q_width());
    tap(taps::kKNorm, k_normed_, rows_, shape_.kv_width());
  }
  tap(taps::kQRope, q_turned_, rows_, shape_.q_width());
  tap(taps::kKRope, k_turned_, rows_, shape_.kv_width());
  const GridOrder o_order = order_for(weights.o, rows_, false);
  attention({.q = q_turned_,
             .out = attn_,
             .kv = kv,
             .q_heads = shape_.q_heads,
             .tiles = device_.tiles,
             .tile_count = tile_count_,
             .wide = wide_,
             .block_table = device_.table,
             .leaves_max = leaves_max_,
             .partials = leaves_apart_ ? partials_ : nullptr,
             .old_keys = decode_only_,
             .grid = quantises(weights.o) ? grid_ : nullptr,
             .scales = grid_scales_,
             .order = o_order},
            rows_, stream);
  tap(taps::kAttn, attn_, rows_, shape_.q_width());
  LinearTask output{.outputs = {{.weight = weights.o, .y_stride = shape_.hidden}}, .rows = rows_};
  output.outputs[0].y_f32 = sharded() ? rank_sums_ : nullptr;
  output.outputs[0].y_bf16 = sharded() ? nullptr : out_;
  set_input(output, weights.o, attn_, o_order);
  linear(output, stream);
  if (!sharded()) tap(taps::kOProj, out_, rows_, shape_.hidden);
}

void Forward::experts_part(int32_t n) {
  const LayerWeights& weights = weights_.layer(n);
  const StreamHandle stream = stream_.handle();
  const int32_t rows = expert_rows(), slots = shape_.experts_per_token, parts = rows * slots;
  const int32_t tile = expert_tile();
  const GridOrder gate_order = order_for(weights.gate, tile, true);
  const uint16_t* x = norm_;
  if (shares_experts()) {
    spread_rows({.x = norm_,
                 .width = shape_.hidden,
                 .rows = wave_,
                 .replica_ranks = weights_.shard().layout.tp,
                 .peers = world_peers_},
                stream);
    x = reinterpret_cast<const uint16_t*>(world_peers_.memory[world_peers_.rank] + world_peers_.at.gathered);
    if (quantises(weights.gate)) quantise(quantise_task(weights.gate, x, rows, gate_order), stream);
  }
  linear({.outputs = {{.weight = weights.router, .y_f32 = router_logits_, .y_stride = whole_.experts}},
          .x = x,
          .rows = rows},
         stream);
  route({.logits = router_logits_,
         .bias = weights.router_bias,
         .rows = rows,
         .experts = whole_.experts,
         .slots = slots,
         .scores = scores_,
         .ids = expert_ids_,
         .weights = expert_weights_},
        {.held = weights_.held(),
         .tile_rows = tile,
         .parts = parts_,
         .tiles = part_tiles_,
         .tile_count = part_tile_count_},
        stream);
  tap(taps::kRouterLogits, router_logits_, rows, whole_.experts);
  tap(taps::kRouterScores, scores_, rows, whole_.experts);
  tap(taps::kExpertIds, expert_ids_, rows, slots);
  tap(taps::kExpertWeights, expert_weights_, rows, slots);

  LinearTask task{.outputs = {{.weight = weights.gate, .y_bf16 = inner_, .y_stride = shape_.expert_width},
                              {.weight = weights.up}},
                  .output_count = 2,
                  .swiglu = true,
                  .rows = parts,
                  .tiles = part_tiles_,
                  .tile_count = part_tile_count_,
                  // Every expert that has parts may leave one tile partly filled.
                  .tile_count_max = std::min(parts, std::min(parts, shape_.experts) + parts / tile),
                  .tile_rows = tile,
                  .parts = parts_,
                  .x_divisor = slots,
                  .starts_late = true};
  set_input(task, weights.gate, x, gate_order);
  linear(task, stream);
  const GridOrder down_order = order_for(weights.down, tile, true);
  if (quantises(weights.down)) {
    QuantiseTask inner = quantise_task(weights.down, inner_, parts, down_order);
    inner.held = weights_.held();
    inner.row_experts = expert_ids_;
    if (inner.held.count == 0) inner.peers = peers_;
    quantise(inner, stream);
  }
  task.outputs[0] = {.weight = weights.down, .y_bf16 = expert_out_, .y_stride = shape_.hidden};
  task.output_count = 1;
  task.swiglu = false;
  task.x_divisor = 1;
  task.starts_late = false;
  task.tiles_there = true;
  set_input(task, weights.down, inner_, down_order);
  linear(task, stream);
  tap(taps::kExpertInner, inner_, rows, int64_t{slots} * shape_.expert_width);
}

const float* Forward::logits(std::span<const int32_t> rows) {
  const auto count = static_cast<int32_t>(rows.size());
  CHECK_LE(count, sizes_.logit_rows_max);
  layer_ = -1;
  if (count == 0) return logits_;
  std::copy(rows.begin(), rows.end(), host_.logit_rows);
  stream_.to_device(device_.logit_rows, host_.logit_rows, int64_t{4} * count);
  residual_norm({.h = h_,
                 .index = device_.logit_rows,
                 .rows = count,
                 .width = shape_.hidden,
                 .norm = weights_.final_norm(),
                 .eps = static_cast<float>(shape_.rms_eps),
                 .out = final_},
                stream_.handle());
  tap(taps::kFinalNorm, final_, count, shape_.hidden);
  const Shard& shard = weights_.shard();
  const model::Range own = model::vocab_rows_of(whole_, shard.layout, shard.rank);
  linear(
      {.outputs = {{.weight = weights_.head(), .y_f32 = logits_ + own.begin, .y_stride = whole_.vocab_rows}},
       .x = final_,
       .rows = count},
      stream_.handle());
  if (group_ != nullptr) {
    GatherTask gather{.stride = whole_.vocab_rows,
                      .begin = static_cast<int32_t>(own.begin),
                      .count = static_cast<int32_t>(own.size()),
                      .rows = count,
                      .peers = peers_};
    for (int32_t r = 0; r < peers_.ranks; ++r) gather.logits[r] = group_->shared(r).logits;
    gather_logits(gather, stream_.handle());
  }
  tap(taps::kLogits, logits_, count, whole_.vocab_rows);
  return logits_;
}

void Forward::fetch(const void* from, int64_t bytes) {
  fetched_.resize(static_cast<size_t>(bytes));
  stream_.to_host(fetched_.data(), from, bytes);
  stream_.wait();
}

void Forward::tap(std::string_view name, const uint16_t* values, int64_t rows, int64_t width) {
  if (sink_ == nullptr) return;
  fetch(values, rows * width * 2);
  tap_values_.resize(static_cast<size_t>(rows * width));
  const auto* const bits = reinterpret_cast<const uint16_t*>(fetched_.data());
  for (size_t i = 0; i < tap_values_.size(); ++i) tap_values_[i] = bf16_to_float(bits[i]);
  sink_->tap(name, layer_, rows, width, tap_values_.data());
}

void Forward::tap(std::string_view name, const float* values, int64_t rows, int64_t width) {
  if (sink_ == nullptr) return;
  fetch(values, rows * width * 4);
  sink_->tap(name, layer_, rows, width, reinterpret_cast<const float*>(fetched_.data()));
}

void Forward::tap(std::string_view name, const int32_t* values, int64_t rows, int64_t width) {
  if (sink_ == nullptr) return;
  fetch(values, rows * width * 4);
  tap_values_.resize(static_cast<size_t>(rows * width));
  const auto* const ids = reinterpret_cast<const int32_t*>(fetched_.data());
  for (size_t i = 0; i < tap_values_.size(); ++i) tap_values_[i] = static_cast<float>(ids[i]);
  sink_->tap(name, layer_, rows, width, tap_values_.data());
}

}  // namespace minimax::backend::cuda
