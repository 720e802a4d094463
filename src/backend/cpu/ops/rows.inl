// Ops on single rows of activations: norms, element-wise maths, rotary embedding, fp8 quantisation. Rows are
// padded with zeros to kRowAlign, which is a multiple of kLanes, so loops run over whole vectors. What would
// be written beyond the width is zero again, because every op here maps zeros to zeros.

// 2^x, relative error below 2^-22; 0 below -126, and for minus infinity. x = n + r, |r| <= 1/2, Taylor series
// of 2^r to r^7, exact at r = 0.
inline Vec vec_exp2(Vec x) {
  x = vec_min(vec_set(127.0f), x);  // keeps a NaN
  const Vec n = vec_round(vec_max(vec_set(-200.0f), x));
  const Vec r = vec_sub(vec_max(vec_set(-200.0f), x), n);
  Vec sum = vec_set(1.5252734e-5f);  // ln(2)^7 / 7!
  sum = vec_fma(sum, r, vec_set(1.5403530e-4f));
  sum = vec_fma(sum, r, vec_set(1.3333558e-3f));
  sum = vec_fma(sum, r, vec_set(9.6181291e-3f));
  sum = vec_fma(sum, r, vec_set(5.5504109e-2f));
  sum = vec_fma(sum, r, vec_set(2.4022651e-1f));
  sum = vec_fma(sum, r, vec_set(6.9314718e-1f));
  sum = vec_fma(sum, r, vec_set(1.0f));
  return vec_scale2(sum, n);
}

void rms_norm(const uint16_t* x, const float* weight, int64_t width, float eps, uint16_t* out) {
  Vec squares = vec_zero();
  for (int64_t i = 0; i < width; i += kLanes) {
    const Vec value = vec_from_bf16(x + i);
    squares = vec_fma(value, value, squares);
  }
  const float mean = vec_sum(squares) / static_cast<float>(width);
  const Vec factor = vec_set(1.0f / __builtin_sqrtf(mean + eps));
  for (int64_t i = 0; i < width; i += kLanes) {
    const Vec scaled = vec_mul(vec_from_bf16(x + i), factor);
    vec_to_bf16(out + i, vec_mul(scaled, vec_load(weight + i)));
  }
}

void add(uint16_t* a, const uint16_t* b, int64_t width) {
  for (int64_t i = 0; i < width; i += kLanes)
    vec_to_bf16(a + i, vec_add(vec_from_bf16(a + i), vec_from_bf16(b + i)));
}

void swiglu(const uint16_t* gate, const uint16_t* up, int64_t width, uint16_t* out) {
  constexpr float kLog2E = 1.4426950408889634f;
  for (int64_t i = 0; i < width; i += kLanes) {
    const Vec g = vec_from_bf16(gate + i);
    const Vec denominator = vec_add(vec_set(1.0f), vec_exp2(vec_mul(g, vec_set(-kLog2E))));
    vec_to_bf16(out + i, vec_mul(vec_div(g, denominator), vec_from_bf16(up + i)));
  }
}

void combine(const uint16_t* y, int64_t y_stride, const float* weights, int32_t slots, int64_t width,
             uint16_t* out) {
  for (int64_t i = 0; i < width; i += kLanes) {
    Vec sum = vec_zero();
    for (int32_t slot = 0; slot < slots; ++slot)
      sum = vec_fma(vec_set(weights[slot]), vec_from_bf16(y + slot * y_stride + i), sum);
    vec_to_bf16(out + i, sum);
  }
}

// One float to bf16 and back, for the loops that are not worth vectors.
inline float float_of_bits(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}
inline uint16_t bits_of_float(float x) {
  const auto bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

void rope(uint16_t* x, int32_t heads, int32_t head_dim, int32_t half, const float* cos, const float* sin) {
  for (int32_t head = 0; head < heads; ++head, x += head_dim) {
    for (int32_t i = 0; i < half; ++i) {
      const float low = float_of_bits(x[i]), high = float_of_bits(x[i + half]);
      x[i] = bits_of_float(low * cos[i] - high * sin[i]);
      x[i + half] = bits_of_float(high * cos[i] + low * sin[i]);
    }
  }
}

// The nearest value of e4m3 (ties to even, saturating) as bf16 bits; a NaN stays one.
inline uint16_t on_e4m3_grid(float x) {
  constexpr float kMax = 448.0f;
  const auto bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return 0x7FC0;
  // Below 2^-6 the grid is 2^-9: so is the unit in the last place of 2^14 and its neighbours.
  const float small = (__builtin_bit_cast(float, magnitude) + 16384.0f) - 16384.0f;
  const uint32_t large = (magnitude + 0x7FFFFu + (magnitude >> 20 & 1u)) & ~0xFFFFFu;
  float rounded = magnitude < 0x3C800000u ? small : __builtin_bit_cast(float, large);
  rounded = rounded > kMax ? kMax : rounded;
  return static_cast<uint16_t>((__builtin_bit_cast(uint32_t, rounded) | sign) >> 16);
}

void quantise(const uint16_t* x, int64_t width, int32_t group, uint16_t* out, float* scales) {
  constexpr float kMax = 448.0f;
  for (int64_t begin = 0; begin < width; begin += group) {
    const int64_t end = begin + group < width ? begin + group : width;
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      const float magnitude = __builtin_fabsf(float_of_bits(x[i]));
      largest = magnitude > largest ? magnitude : largest;
    }
    const float scale = largest > 0 ? largest / kMax : 1.0f;
    for (int64_t i = begin; i < end; ++i) out[i] = on_e4m3_grid(float_of_bits(x[i]) / scale);
    *scales++ = scale;
  }
}
