// Plain C++, for machines without the others and as the easiest one to read: 8 lanes as arrays.

constexpr int kLanes = 8;
constexpr int kStep = 16;
constexpr int kCodePairs = 1;
struct Vec {
  float lane[kLanes];
};
struct Pairs {
  uint16_t bits[kStep];
};

template <typename Op>
inline Vec each_lane(Op op) {
  Vec out;
  for (int i = 0; i < kLanes; ++i) out.lane[i] = op(i);
  return out;
}
inline float widen_bits(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

inline Vec vec_set(float x) {
  return each_lane([=](int) { return x; });
}
inline Vec vec_zero() {
  return vec_set(0.0f);
}
inline Vec vec_load(const float* p) {
  return each_lane([=](int i) { return p[i]; });
}
inline void vec_store(float* p, Vec x) {
  for (int i = 0; i < kLanes; ++i) p[i] = x.lane[i];
}
inline Vec vec_add(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Vec vec_sub(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline Vec vec_mul(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Vec vec_div(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] / b.lane[i]; });
}
// Two roundings: without the instruction a fused one is a slow library call.
inline Vec vec_fma(Vec a, Vec b, Vec c) {
  return each_lane([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
inline Vec vec_max(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec vec_min(Vec a, Vec b) {
  return each_lane([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec vec_round(Vec x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23; right for |x| < 2^22, larger ones are clamped before
  return each_lane([&](int i) { return (x.lane[i] + kMagic) - kMagic; });
}
inline Vec vec_scale2(Vec x, Vec n) {
  return each_lane([&](int i) {
    if (n.lane[i] < -126.0f) return 0.0f;
    const auto exponent = static_cast<uint32_t>(static_cast<int32_t>(n.lane[i]) + 127);
    return x.lane[i] * __builtin_bit_cast(float, exponent << 23);
  });
}
inline Vec vec_count_nan(Vec count, Vec x) {
  return each_lane([&](int i) { return count.lane[i] + (x.lane[i] != x.lane[i] ? 1.0f : 0.0f); });
}
inline Vec vec_keep_first(Vec x, int n, Vec other) {
  return each_lane([&](int i) { return i < n ? x.lane[i] : other.lane[i]; });
}
inline float vec_sum(Vec x) {
  const float* v = x.lane;
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
inline float vec_largest(Vec x) {
  float largest = x.lane[0];
  for (int i = 1; i < kLanes; ++i) largest = x.lane[i] > largest ? x.lane[i] : largest;
  return largest;
}

inline Pairs pairs_load_first(const void* p, int64_t n) {
  Pairs out = {};
  __builtin_memcpy(out.bits, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return out;
}
inline Pairs pairs_load(const void* p) {
  return pairs_load_first(p, kStep);
}
inline void pairs_store(uint16_t* p, Pairs x) {
  __builtin_memcpy(p, x.bits, sizeof(x.bits));
}
inline Pairs pairs_splat(const uint16_t* p) {
  Pairs out;
  for (int i = 0; i < kStep; ++i) out.bits[i] = p[i % 2];
  return out;
}
inline Vec pairs_dot(Vec acc, Pairs a, Pairs b) {
  // The product of two bf16 is exact in float.
  return each_lane([&](int i) {
    const float sum = acc.lane[i] + widen_bits(a.bits[2 * i]) * widen_bits(b.bits[2 * i]);
    return sum + widen_bits(a.bits[2 * i + 1]) * widen_bits(b.bits[2 * i + 1]);
  });
}

inline Vec vec_from_bf16(const void* p) {
  uint16_t bits[kLanes];
  __builtin_memcpy(bits, p, sizeof(bits));
  return each_lane([&](int i) { return widen_bits(bits[i]); });
}
inline void vec_to_bf16(uint16_t* p, Vec x) {
  for (int i = 0; i < kLanes; ++i) {
    const auto bits = __builtin_bit_cast(uint32_t, x.lane[i]);
    const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    p[i] = static_cast<uint16_t>(is_nan ? bits >> 16 | 0x40 : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
  }
}

struct CodeTable {
  uint16_t bits[256];
};
constexpr CodeTable make_code_table() {
  CodeTable table{};
  for (int code = 0; code < 256; ++code)
    table.bits[code] = static_cast<uint16_t>(bf16_of_e4m3(code & 0x7F) | (code & 0x80) << 8);
  return table;
}
constexpr CodeTable kCodeTable = make_code_table();

inline void codes_load_first(const void* p, int64_t n, Pairs out[kCodePairs]) {
  uint8_t codes[kStep] = {};
  __builtin_memcpy(codes, p, static_cast<size_t>(n));
  for (int i = 0; i < kStep; ++i) out[0].bits[i] = kCodeTable.bits[codes[i]];
}
inline void codes_load(const void* p, Pairs out[kCodePairs]) {
  codes_load_first(p, kStep, out);
}

inline uint64_t sum_words(const std::byte* p, int64_t n) {  // n a multiple of 256
  uint64_t sums[4] = {};
  for (int64_t i = 0; i < n; i += 32) {
    uint64_t words[4];
    __builtin_memcpy(words, p + i, sizeof(words));
    for (int j = 0; j < 4; ++j) sums[j] += words[j];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}
