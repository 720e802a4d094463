// Attention over the paged KV cache (layout: kv.h). Keys are taken in tiles of kKeyTile absolute positions,
// with one online-softmax update a tile; kKeySplit positions give one partial state, and partial states are
// merged in ascending order. Neither depends on the block size, on the chunk a row arrives in, or on threads.
//
// Per tile and head: scores = q k^T (bf16 products, f32 sums over ascending dims), p = 2^(scores - maximum),
// state sums rescaled, then p v in f32 over ascending positions. Bound: the bytes of K and V for few rows,
// 2 multiply-adds per key, head and dim for many.
//
// In fp8 a tile's codes are widened once, exactly, to bf16 in scratch, where all rows and heads read them; a
// score is multiplied by its key's scale, and p by the scale of V once the sum of p has seen it without.
//
// State of one row and head: [0] maximum of the scaled scores (log2 domain), [1] sum of p, [16..] sums of p
// v.

constexpr float kMinusInfinity = -__builtin_inff();

struct TilePlace {
  const uint16_t* k;  // [head_dim / 2][kKeyGroup][2] of one group of keys
  const uint16_t* v;  // [kKeyGroup][head_dim]
};

inline const std::byte* block_of(const AttentionTask& task, int32_t position) {
  return task.pool + task.block_table[position / task.block_tokens] * task.block_stride;
}

inline TilePlace place_of(const AttentionTask& task, int32_t position) {
  if (task.fp8) {
    const uint16_t* k = task.widened + int64_t{position % kKeyTile} * task.head_dim;
    return {k, k + int64_t{kKeyTile} * task.head_dim};
  }
  const int32_t offset = position % task.block_tokens;
  const auto* k = reinterpret_cast<const uint16_t*>(block_of(task, position));
  const auto* v = k + int64_t{task.block_tokens} * task.head_dim;
  return {k + int64_t{offset} * task.head_dim, v + int64_t{offset} * task.head_dim};
}

// fp8: scales of K from a position on, up to the end of its block; those of V are block_tokens further.
inline const float* scales_of(const AttentionTask& task, int32_t position) {
  const std::byte* scales = block_of(task, position) + int64_t{2} * task.block_tokens * task.head_dim;
  return reinterpret_cast<const float*>(scales) + position % task.block_tokens;
}

// fp8: K and V of the groups that hold positions [tile, tile + keys), to task.widened.
inline void widen_tile(const AttentionTask& task, int32_t tile, int32_t keys) {
  const int64_t values = int64_t{kKeyGroup} * task.head_dim;
  for (int32_t group = 0; group < keys; group += kKeyGroup) {
    const int64_t at = int64_t{(tile + group) % task.block_tokens} * task.head_dim;
    const std::byte* codes = block_of(task, tile + group) + at;
    uint16_t* const out = task.widened + int64_t{group} * task.head_dim;
    widen_row(codes, values, out);
    widen_row(codes + int64_t{task.block_tokens} * task.head_dim, values,
              out + int64_t{kKeyTile} * task.head_dim);
  }
}

// scores[h][0..kKeyGroup) of H heads against one group of keys, unscaled.
template <int H>
inline void score_group(const uint16_t* q, int32_t head_dim, const uint16_t* k, float* scores) {
  constexpr int kVecs = kKeyGroup / kLanes;
  Vec acc[H][kVecs];
  for (int h = 0; h < H; ++h)
    for (int j = 0; j < kVecs; ++j) acc[h][j] = vec_zero();
  for (int32_t d = 0; d < head_dim; d += 2) {
    Pairs keys[kVecs];
    for (int j = 0; j < kVecs; ++j) keys[j] = pairs_load(k + int64_t{d} * kKeyGroup + int64_t{j} * kStep);
    for (int h = 0; h < H; ++h) {
      const Pairs query = pairs_splat(q + int64_t{h} * head_dim + d);
      for (int j = 0; j < kVecs; ++j) acc[h][j] = pairs_dot(acc[h][j], keys[j], query);
    }
  }
  for (int h = 0; h < H; ++h)
    for (int j = 0; j < kVecs; ++j) vec_store(scores + int64_t{h} * kKeyTile + j * kLanes, acc[h][j]);
}

// sums[h][dims] = sums * rescale[h] + sum over keys of p[h][key] v[key][dims], for H heads and D vectors of
// dims.
template <int H, int D>
inline void add_values(const AttentionTask& task, int32_t tile, int32_t keys, const float* p,
                       const float* rescale, int32_t dim, float* const* sums) {
  Vec acc[H][D];
  for (int h = 0; h < H; ++h)
    for (int j = 0; j < D; ++j)
      acc[h][j] = vec_mul(vec_load(sums[h] + dim + j * kLanes), vec_set(rescale[h]));
  for (int32_t group = 0; group < keys; group += kKeyGroup) {
    const uint16_t* v = place_of(task, tile + group).v + dim;
    const int32_t count = keys - group < kKeyGroup ? keys - group : kKeyGroup;
    for (int32_t key = 0; key < count; ++key, v += task.head_dim) {
      Vec values[D];
      for (int j = 0; j < D; ++j) values[j] = vec_from_bf16(v + j * kLanes);
      for (int h = 0; h < H; ++h) {
        const Vec weight = vec_set(p[int64_t{h} * kKeyTile + group + key]);
        for (int j = 0; j < D; ++j) acc[h][j] = vec_fma(weight, values[j], acc[h][j]);
      }
    }
  }
  for (int h = 0; h < H; ++h)
    for (int j = 0; j < D; ++j) vec_store(sums[h] + dim + j * kLanes, acc[h][j]);
}

// One tile of `keys` valid positions for H heads of one row.
template <int H>
inline void attend_tile(const AttentionTask& task, const uint16_t* q, int32_t tile, int32_t keys,
                        float* state) {
  float* const p = task.scratch;  // [H, kKeyTile]
  const int32_t groups = (keys + kKeyGroup - 1) / kKeyGroup;
  for (int32_t group = 0; group < groups; ++group)
    score_group<H>(q, task.head_dim, place_of(task, tile + group * kKeyGroup).k, p + group * kKeyGroup);

  float rescale[H];
  float* sums[H];
  for (int h = 0; h < H; ++h) {
    float* const own = state + h * state_floats(task.head_dim);
    float* const scores = p + int64_t{h} * kKeyTile;
    Vec largest = vec_set(kMinusInfinity);
    for (int32_t i = 0; i < groups * kKeyGroup; i += kLanes) {
      Vec score = vec_load(scores + i);
      if (task.fp8) score = vec_mul(score, vec_load(scales_of(task, tile + i)));
      const Vec scaled = vec_mul(score, vec_set(task.scale_log2));
      const Vec valid = vec_keep_first(scaled, keys - i, vec_set(kMinusInfinity));
      largest = vec_max(valid, largest);
      vec_store(scores + i, valid);
    }
    const float maximum = own[0] > vec_largest(largest) ? own[0] : vec_largest(largest);
    Vec sum = vec_zero();
    for (int32_t i = 0; i < groups * kKeyGroup; i += kLanes) {
      const Vec weight = vec_exp2(vec_sub(vec_load(scores + i), vec_set(maximum)));
      sum = vec_add(sum, weight);
      const Vec share =
          task.fp8 ? vec_mul(weight, vec_load(scales_of(task, tile + i) + task.block_tokens)) : weight;
      vec_store(scores + i, share);
    }
    float factor[kLanes];
    vec_store(factor, vec_exp2(vec_set(own[0] - maximum)));
    rescale[h] = factor[0];
    own[0] = maximum;
    own[1] = own[1] * rescale[h] + vec_sum(sum);
    sums[h] = own + 16;
  }

  constexpr int kVecsAtOnce = kLanes == 16 ? 4 : 2;
  int32_t dim = 0;
  for (; dim + kVecsAtOnce * kLanes <= task.head_dim; dim += kVecsAtOnce * kLanes)
    add_values<H, kVecsAtOnce>(task, tile, keys, p, rescale, dim, sums);
  for (; dim < task.head_dim; dim += kLanes) add_values<H, 1>(task, tile, keys, p, rescale, dim, sums);
}

inline void attend_heads(const AttentionTask& task, int32_t row, int32_t tile, int32_t keys) {
  const uint16_t* q = task.q + row * task.q_stride;
  float* state = task.state + int64_t{row} * task.heads * state_floats(task.head_dim);
  int32_t head = 0;
  const auto advance = [&](int32_t heads) {
    head += heads;
    q += int64_t{heads} * task.head_dim;
    state += heads * state_floats(task.head_dim);
  };
  if constexpr (kLanes ==
                16) {  // 32 registers hold the sums of six heads, as many as the family has a KV head
    for (; head + 6 <= task.heads; advance(6)) attend_tile<6>(task, q, tile, keys, state);
  }
  for (; head + 4 <= task.heads; advance(4)) attend_tile<4>(task, q, tile, keys, state);
  for (; head + 2 <= task.heads; advance(2)) attend_tile<2>(task, q, tile, keys, state);
  if (head < task.heads) attend_tile<1>(task, q, tile, keys, state);
}

void attention(const AttentionTask& task) {
  const int64_t floats = int64_t{task.rows} * task.heads * state_floats(task.head_dim);
  for (int64_t i = 0; i < floats; ++i) task.state[i] = 0.0f;
  for (int64_t i = 0; i < int64_t{task.rows} * task.heads; ++i)
    task.state[i * state_floats(task.head_dim)] = kMinusInfinity;
  for (int32_t tile = task.key_begin; tile < task.key_end; tile += kKeyTile) {
    if (task.fp8) widen_tile(task, tile, task.key_end - tile < kKeyTile ? task.key_end - tile : kKeyTile);
    for (int32_t row = 0; row < task.rows; ++row) {
      const int32_t visible = task.first_position + row + 1;
      const int32_t end = task.key_end < visible ? task.key_end : visible;
      const int32_t keys = end - tile < kKeyTile ? end - tile : kKeyTile;
      if (keys > 0) attend_heads(task, row, tile, keys);
    }
  }
}

void merge_attention(float* into, const float* part, int32_t head_dim) {
  if (part[0] == kMinusInfinity) return;
  const float maximum = into[0] > part[0] ? into[0] : part[0];
  float factors[2][kLanes];
  vec_store(factors[0], vec_exp2(vec_set(into[0] - maximum)));
  vec_store(factors[1], vec_exp2(vec_set(part[0] - maximum)));
  into[0] = maximum;
  into[1] = into[1] * factors[0][0] + part[1] * factors[1][0];
  for (int32_t i = 16; i < 16 + head_dim; i += kLanes) {
    const Vec scaled = vec_mul(vec_load(part + i), vec_set(factors[1][0]));
    vec_store(into + i, vec_fma(vec_load(into + i), vec_set(factors[0][0]), scaled));
  }
}

void finish_attention(const float* state, int32_t head_dim, uint16_t* out) {
  const Vec sum = vec_set(state[1]);
  for (int32_t i = 0; i < head_dim; i += kLanes) vec_to_bf16(out + i, vec_div(vec_load(state + 16 + i), sum));
}
