// AVX-512 with BF16 and VBMI: 16 lanes, products of bf16 pairs in one instruction. That instruction treats
// denormals as zero; a bf16 denormal is below 2^-126, far under any bound stated here, and e4m3 values, the
// subnormal ones too, are widened by table into normal bf16.

constexpr int kLanes = 16;
constexpr int kStep = 32;      // bf16 values of one Pairs
constexpr int kCodePairs = 2;  // Pairs that one load of e4m3 codes gives
using Vec = __m512;
using Pairs = __m512i;

inline Vec vec_zero() {
  return _mm512_setzero_ps();
}
inline Vec vec_set(float x) {
  return _mm512_set1_ps(x);
}
inline Vec vec_load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void vec_store(float* p, Vec x) {
  _mm512_storeu_ps(p, x);
}
inline Vec vec_add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec vec_sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec vec_mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec vec_div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
inline Vec vec_fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec vec_max(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}
// min(a, b), b if either is a NaN.
inline Vec vec_min(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
inline Vec vec_round(Vec x) {
  return _mm512_roundscale_ps(x, 0);
}
// x * 2^n, n integral, result 0 below -126.
inline Vec vec_scale2(Vec x, Vec n) {
  const __mmask16 normal = _mm512_cmp_ps_mask(n, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  return _mm512_maskz_scalef_ps(normal, x, n);
}
// count + 1 in lanes where x is a NaN.
inline Vec vec_count_nan(Vec count, Vec x) {
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_mask_add_ps(count, nan, count, _mm512_set1_ps(1.0f));
}
// Lanes below n keep x, the others become `other`.
inline Vec vec_keep_first(Vec x, int n, Vec other) {
  const auto mask = static_cast<__mmask16>(n >= kLanes ? 0xFFFF : (1 << (n < 0 ? 0 : n)) - 1);
  return _mm512_mask_blend_ps(mask, other, x);
}

// One fixed tree: halves, quarters, pairs.
inline float vec_sum(Vec x) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
inline float vec_largest(Vec x) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}

inline Vec vec_from_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
inline void vec_to_bf16(uint16_t* p, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
}

inline Pairs pairs_load(const void* p) {
  return _mm512_loadu_si512(p);
}
inline Pairs pairs_load_first(const void* p, int64_t n) {
  return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
}
inline void pairs_store(uint16_t* p, Pairs x) {
  _mm512_storeu_si512(p, x);
}
inline Pairs pairs_splat(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  return _mm512_set1_epi32(pair);
}
// acc[i] + a[2i] b[2i] + a[2i+1] b[2i+1].
inline Vec pairs_dot(Vec acc, Pairs a, Pairs b) {
  return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}

// bf16 bits of the 128 magnitudes of e4m3: low bytes, then high bytes.
struct CodeTable {
  alignas(64) uint8_t low[128];
  alignas(64) uint8_t high[128];
};
constexpr CodeTable make_code_table() {
  CodeTable table{};
  for (int code = 0; code < 128; ++code) {
    const uint16_t bits = bf16_of_e4m3(code);
    table.low[code] = static_cast<uint8_t>(bits & 0xFF);
    table.high[code] = static_cast<uint8_t>(bits >> 8);
  }
  return table;
}
constexpr CodeTable kCodeTable = make_code_table();

inline void widen_codes(__m512i codes, Pairs out[kCodePairs]) {
  // vpermi2b looks up 128 bytes and ignores bit 7, the sign, which is then put on the high byte.
  const __m512i low0 = _mm512_load_si512(kCodeTable.low), low1 = _mm512_load_si512(kCodeTable.low + 64);
  const __m512i high0 = _mm512_load_si512(kCodeTable.high), high1 = _mm512_load_si512(kCodeTable.high + 64);
  // Unpacking works in 128-bit lanes: bring the 8-byte pieces where its results come out in order.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  codes = _mm512_permutexvar_epi64(order, codes);
  const __m512i low = _mm512_permutex2var_epi8(low0, codes, low1);
  const __m512i magnitude = _mm512_permutex2var_epi8(high0, codes, high1);
  const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m512i high = _mm512_ternarylogic_epi32(magnitude, codes, sign, 0xF8);  // a | (b & c)
  out[0] = _mm512_unpacklo_epi8(low, high);
  out[1] = _mm512_unpackhi_epi8(low, high);
}
inline void codes_load(const void* p, Pairs out[kCodePairs]) {
  widen_codes(_mm512_loadu_si512(p), out);
}
inline void codes_load_first(const void* p, int64_t n, Pairs out[kCodePairs]) {
  widen_codes(_mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p), out);
}

inline uint64_t sum_words(const std::byte* p, int64_t n) {  // n a multiple of 256
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (int64_t i = 0; i < n; i += 256) {
    a = _mm512_add_epi64(a, _mm512_loadu_si512(p + i));
    b = _mm512_add_epi64(b, _mm512_loadu_si512(p + i + 64));
    c = _mm512_add_epi64(c, _mm512_loadu_si512(p + i + 128));
    d = _mm512_add_epi64(d, _mm512_loadu_si512(p + i + 192));
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(all));
}
