// AVX2 with FMA: 8 lanes; a pair of bf16 is two shifted or masked floats and two fused multiply-adds.

constexpr int kLanes = 8;
constexpr int kStep = 16;
constexpr int kCodePairs = 1;
using Vec = __m256;
using Pairs = __m256i;

inline Vec vec_zero() {
  return _mm256_setzero_ps();
}
inline Vec vec_set(float x) {
  return _mm256_set1_ps(x);
}
inline Vec vec_load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void vec_store(float* p, Vec x) {
  _mm256_storeu_ps(p, x);
}
inline Vec vec_add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
inline Vec vec_sub(Vec a, Vec b) {
  return _mm256_sub_ps(a, b);
}
inline Vec vec_mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
inline Vec vec_div(Vec a, Vec b) {
  return _mm256_div_ps(a, b);
}
inline Vec vec_fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vec vec_max(Vec a, Vec b) {
  return _mm256_max_ps(a, b);
}
inline Vec vec_min(Vec a, Vec b) {
  return _mm256_min_ps(a, b);
}
inline Vec vec_round(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec vec_scale2(Vec x, Vec n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  const Vec factor = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  const Vec normal = _mm256_cmp_ps(n, _mm256_set1_ps(-126.0f), _CMP_NLT_UQ);
  return _mm256_and_ps(normal, _mm256_mul_ps(x, factor));
}
inline Vec vec_count_nan(Vec count, Vec x) {
  return _mm256_add_ps(count, _mm256_and_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q), _mm256_set1_ps(1.0f)));
}
inline Vec vec_keep_first(Vec x, int n, Vec other) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
  return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(keep));
}

inline float vec_sum(Vec x) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline float vec_largest(Vec x) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}

inline Vec vec_from_bf16(const void* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline void vec_to_bf16(uint16_t* p, Vec x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  const __m256i nan = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, nan, is_nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x88);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

inline Pairs pairs_load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline Pairs pairs_load_first(const void* p, int64_t n) {
  uint16_t part[kStep] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(n) * sizeof(uint16_t));
  return pairs_load(part);
}
inline void pairs_store(uint16_t* p, Pairs x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
inline Pairs pairs_splat(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  return _mm256_set1_epi32(pair);
}
inline Vec pairs_dot(Vec acc, Pairs a, Pairs b) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
  acc = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)),
                        _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)), acc);
  return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(a, upper)),
                         _mm256_castsi256_ps(_mm256_and_si256(b, upper)), acc);
}

// A normal e4m3 magnitude m is the bf16 (m << 4) + (120 << 7); the eight below 2^-6 come from a table of
// eight words, and the NaN is set by hand.
inline void widen_codes(__m128i codes, Pairs out[kCodePairs]) {
  const __m256i wide = _mm256_cvtepu8_epi16(codes);
  const __m256i magnitude = _mm256_and_si256(wide, _mm256_set1_epi16(0x7F));
  const __m256i sign = _mm256_slli_epi16(_mm256_andnot_si256(_mm256_set1_epi16(0x7F), wide), 8);
  const __m256i normal = _mm256_add_epi16(_mm256_slli_epi16(magnitude, 4), _mm256_set1_epi16(0x3C00));
  const __m256i table = _mm256_broadcastsi128_si256(
      _mm_setr_epi16(bf16_of_e4m3(0), bf16_of_e4m3(1), bf16_of_e4m3(2), bf16_of_e4m3(3), bf16_of_e4m3(4),
                     bf16_of_e4m3(5), bf16_of_e4m3(6), bf16_of_e4m3(7)));
  const __m256i bytes =
      _mm256_add_epi16(_mm256_mullo_epi16(magnitude, _mm256_set1_epi16(0x0202)), _mm256_set1_epi16(0x0100));
  const __m256i small = _mm256_shuffle_epi8(table, bytes);
  const __m256i is_small = _mm256_cmpgt_epi16(_mm256_set1_epi16(8), magnitude);
  const __m256i is_nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7F));
  __m256i bits = _mm256_blendv_epi8(normal, small, is_small);
  bits = _mm256_or_si256(bits, _mm256_and_si256(is_nan, _mm256_set1_epi16(0x7FC0)));
  out[0] = _mm256_or_si256(bits, sign);
}
inline void codes_load(const void* p, Pairs out[kCodePairs]) {
  widen_codes(_mm_loadu_si128(static_cast<const __m128i*>(p)), out);
}
inline void codes_load_first(const void* p, int64_t n, Pairs out[kCodePairs]) {
  uint8_t part[kStep] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(n));
  codes_load(part, out);
}

inline uint64_t sum_words(const std::byte* p, int64_t n) {  // n a multiple of 256
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  for (int64_t i = 0; i < n; i += 128) {
    for (int j = 0; j < 4; ++j)
      sums[j] = _mm256_add_epi64(
          sums[j], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + int64_t{32} * j)));
  }
  const __m256i all =
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  uint64_t words[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), all);
  return words[0] + words[1] + words[2] + words[3];
}
