// y = W x on rows [row_begin, row_end) of W. Register tiles of R weight rows by M activation rows; whatever R
// and M are, element (r, m) sees the same operations in the same order.
//
// The bytes of W are read once from memory for all activation rows: with up to kTileRows of them e4m3 codes
// are widened in registers, with more the R weight rows are widened once into scratch, which stays in the
// first-level cache. Bound: bytes of W over the read bandwidth for few rows, products for many.

struct RowPointers {
  const std::byte* weight[kTileRows];
  const float* weight_scales[kTileRows];
  const uint16_t* x[kTileRows];
  const float* x_scales[kTileRows];  // nullptr: none
};

// How far ahead a weight row is fetched, in bytes: the hardware's prefetcher stops at each 4 KB page.
constexpr int64_t kPrefetchBytes = 4096;

inline void prefetch(const void* p) {
  __builtin_prefetch(p, 0, 3);
}

template <int R, int M>
inline void dot_f32(const RowPointers& rows, int64_t in, float out[R][M]) {
  Vec acc[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) acc[r][m] = vec_zero();
  const int64_t whole = in / kLanes * kLanes;
  for (int64_t i = 0; i < in; i += kLanes) {
    Vec w[R];
    for (int r = 0; r < R; ++r) {
      const std::byte* at = rows.weight[r] + i * static_cast<int64_t>(sizeof(float));
      float values[kLanes] = {};
      __builtin_memcpy(values, at, sizeof(float) * static_cast<size_t>(i < whole ? kLanes : in - whole));
      w[r] = vec_load(values);
    }
    for (int m = 0; m < M; ++m) {
      const Vec x = vec_from_bf16(rows.x[m] + i);
      for (int r = 0; r < R; ++r) acc[r][m] = vec_fma(w[r], x, acc[r][m]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r][m] = vec_sum(acc[r][m]);
}

template <int R, int M>
inline void dot_bf16(const RowPointers& rows, int64_t in, float out[R][M]) {
  Vec acc[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) acc[r][m] = vec_zero();
  const int64_t whole = in / kStep * kStep;
  for (int64_t i = 0; i < whole; i += kStep) {
    Pairs w[R];
    for (int r = 0; r < R; ++r) {
      const std::byte* at = rows.weight[r] + 2 * i;
      prefetch(at + kPrefetchBytes);
      w[r] = pairs_load(at);
    }
    for (int m = 0; m < M; ++m) {
      const Pairs x = pairs_load(rows.x[m] + i);
      for (int r = 0; r < R; ++r) acc[r][m] = pairs_dot(acc[r][m], w[r], x);
    }
  }
  if (whole < in) {
    for (int r = 0; r < R; ++r) {
      const Pairs w = pairs_load_first(rows.weight[r] + 2 * whole, in - whole);
      for (int m = 0; m < M; ++m) acc[r][m] = pairs_dot(acc[r][m], w, pairs_load(rows.x[m] + whole));
    }
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r][m] = vec_sum(acc[r][m]);
}

// The scale of one block: w8a8 multiplies the two first, rounded to float as the oracle does.
inline float block_scale(const RowPointers& rows, int r, int m, int64_t block) {
  const float scale = rows.weight_scales[r][block];
  return rows.x_scales[m] == nullptr ? scale : scale * rows.x_scales[m][block];
}

template <int R, int M>
inline void add_block(const RowPointers& rows, int64_t block, const Vec part[R][M], Vec acc[R][M]) {
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m)
      acc[r][m] = vec_fma(part[r][m], vec_set(block_scale(rows, r, m, block)), acc[r][m]);
}

// W as e4m3 codes, widened in registers.
template <int R, int M>
inline void dot_e4m3(const RowPointers& rows, int64_t in, int64_t block_cols, float out[R][M]) {
  Vec acc[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) acc[r][m] = vec_zero();
  constexpr int64_t kCodes = kStep * kCodePairs;
  for (int64_t begin = 0, block = 0; begin < in; begin += block_cols, ++block) {
    const int64_t end = begin + block_cols < in ? begin + block_cols : in;
    Vec part[R][M];
    for (int r = 0; r < R; ++r)
      for (int m = 0; m < M; ++m) part[r][m] = vec_zero();
    for (int64_t i = begin; i < end; i += kCodes) {
      for (int r = 0; r < R; ++r) {
        const std::byte* at = rows.weight[r] + i;
        prefetch(at + kPrefetchBytes);
        Pairs w[kCodePairs];
        if (i + kCodes <= end) {
          codes_load(at, w);
        } else {
          codes_load_first(at, end - i, w);
        }
        for (int p = 0; p < kCodePairs; ++p)
          for (int m = 0; m < M; ++m)
            part[r][m] = pairs_dot(part[r][m], w[p], pairs_load(rows.x[m] + i + int64_t{p} * kStep));
      }
    }
    add_block<R, M>(rows, block, part, acc);
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r][m] = vec_sum(acc[r][m]);
}

// W as bf16 widened from e4m3 codes by widen_rows: the same sums as dot_e4m3.
template <int R, int M>
inline void dot_widened(const RowPointers& rows, int64_t in, int64_t block_cols, float out[R][M]) {
  Vec acc[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) acc[r][m] = vec_zero();
  constexpr int64_t kCodes = kStep * kCodePairs;
  for (int64_t begin = 0, block = 0; begin < in; begin += block_cols, ++block) {
    const int64_t end = begin + block_cols < in ? begin + block_cols : in;
    const int64_t steps_end = begin + round_up(end - begin, kCodes);
    Vec part[R][M];
    for (int r = 0; r < R; ++r)
      for (int m = 0; m < M; ++m) part[r][m] = vec_zero();
    for (int64_t i = begin; i < steps_end; i += kStep) {
      Pairs w[R];
      for (int r = 0; r < R; ++r) w[r] = pairs_load(rows.weight[r] + 2 * i);
      for (int m = 0; m < M; ++m) {
        const Pairs x = pairs_load(rows.x[m] + i);
        for (int r = 0; r < R; ++r) part[r][m] = pairs_dot(part[r][m], w[r], x);
      }
    }
    add_block<R, M>(rows, block, part, acc);
  }
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) out[r][m] = vec_sum(acc[r][m]);
}

inline void widen_row(const std::byte* codes, int64_t in, uint16_t* out) {
  constexpr int64_t kCodes = kStep * kCodePairs;
  for (int64_t i = 0; i < in; i += kCodes) {
    prefetch(codes + i + kPrefetchBytes);
    Pairs w[kCodePairs];
    if (i + kCodes <= in) {
      codes_load(codes + i, w);
    } else {
      codes_load_first(codes + i, in - i, w);
    }
    for (int p = 0; p < kCodePairs; ++p) pairs_store(out + i + int64_t{p} * kStep, w[p]);
  }
}

// Output rows row..row+R-1 of activation rows m0..m0+M-1.
template <int R, int M>
inline void linear_tile(const LinearTask& task, RowPointers& rows, bool widened, int64_t row, int64_t m0) {
  const Matrix& weight = *task.weight;
  for (int m = 0; m < M; ++m) {
    const int64_t at = task.x_index == nullptr ? m0 + m : task.x_index[m0 + m];
    rows.x[m] = task.x + at * task.x_stride;
    rows.x_scales[m] = task.x_scales == nullptr ? nullptr : task.x_scales + at * weight.scale_cols();
  }
  float out[R][M];
  if (weight.kind == WeightKind::kF32) {
    dot_f32<R, M>(rows, weight.in, out);
  } else if (weight.kind == WeightKind::kBf16) {
    dot_bf16<R, M>(rows, weight.in, out);
  } else if (widened) {
    dot_widened<R, M>(rows, weight.in, weight.block_cols, out);
  } else {
    dot_e4m3<R, M>(rows, weight.in, weight.block_cols, out);
  }
  for (int m = 0; m < M; ++m) {
    const int64_t at = (task.y_index == nullptr ? m0 + m : task.y_index[m0 + m]) * task.y_stride + row;
    if (task.y_f32 != nullptr) {
      for (int r = 0; r < R; ++r) task.y_f32[at + r] = out[r][m];
      continue;
    }
    float values[kLanes] = {};
    uint16_t bits[kLanes];
    for (int r = 0; r < R; ++r) values[r] = out[r][m];
    vec_to_bf16(bits, vec_load(values));
    for (int r = 0; r < R; ++r) task.y_bf16[at + r] = bits[r];
  }
}

// Output rows row..row+R-1 of all activation rows.
template <int R>
inline void linear_rows(const LinearTask& task, int64_t row) {
  const Matrix& weight = *task.weight;
  RowPointers rows = {};
  const bool widened = weight.kind == WeightKind::kE4m3 && task.rows > kTileRows;
  for (int r = 0; r < R; ++r) {
    rows.weight[r] = weight.data + (row + r) * weight.in * weight.element_bytes();
    if (weight.kind != WeightKind::kE4m3) continue;
    rows.weight_scales[r] = weight.scales + (row + r) / weight.block_rows * weight.scale_cols();
    if (!widened) continue;
    uint16_t* const scratch = task.scratch + r * round_up(weight.in, kRowAlign);
    widen_row(rows.weight[r], weight.in, scratch);
    rows.weight[r] = reinterpret_cast<const std::byte*>(scratch);
  }
  int64_t m = 0;
  for (; m + 4 <= task.rows; m += 4) linear_tile<R, 4>(task, rows, widened, row, m);
  switch (task.rows - m) {
    case 3:
      return linear_tile<R, 3>(task, rows, widened, row, m);
    case 2:
      return linear_tile<R, 2>(task, rows, widened, row, m);
    case 1:
      return linear_tile<R, 1>(task, rows, widened, row, m);
    default:
      return;
  }
}

void linear(const LinearTask& task) {
  int64_t row = task.row_begin;
  if (task.rows <= 4) {
    for (; row < task.row_end; ++row) linear_rows<1>(task, row);
    return;
  }
  for (; row + kTileRows <= task.row_end; row += kTileRows) linear_rows<kTileRows>(task, row);
  for (; row < task.row_end; ++row) linear_rows<1>(task, row);
}

uint64_t read_all(const std::byte* data, int64_t bytes) {
  constexpr int64_t kChunk = 256;
  const int64_t whole = bytes / kChunk * kChunk;
  uint64_t sum = sum_words(data, whole);
  for (int64_t i = whole; i < bytes; ++i) sum += static_cast<uint8_t>(data[i]);
  return sum;
}
