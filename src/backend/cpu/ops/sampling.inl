// Passes over one row of logits for the sampler (sample.h). A row is long (200 000 ids) and what is kept of
// it is short, so one pass leaves the largest value of each group of kLogitGroup ids; after it only groups
// that can matter are looked at.

// out = x / divisor (exactly x for 1), groups[i] = largest of the group. True if a value is a NaN.
bool scale_logits(const float* x, int64_t count, float divisor, float* out, float* groups) {
  Vec nan_seen = vec_zero();
  for (int64_t begin = 0; begin < count; begin += kLogitGroup) {
    Vec largest = vec_set(kMinusInfinity);
    const int64_t end = begin + kLogitGroup < count ? begin + kLogitGroup : count;
    for (int64_t i = begin; i < end; i += kLanes) {
      const int64_t left = end - i;
      Vec value;
      if (left >= kLanes) {
        value = vec_load(x + i);
      } else {
        float part[kLanes] = {};
        __builtin_memcpy(part, x + i, sizeof(float) * static_cast<size_t>(left));
        value = vec_keep_first(vec_load(part), static_cast<int>(left), vec_set(kMinusInfinity));
      }
      nan_seen = vec_count_nan(nan_seen, value);
      value = vec_div(value, vec_set(divisor));
      if (left >= kLanes) {
        vec_store(out + i, value);
      } else {
        float part[kLanes];
        vec_store(part, value);
        __builtin_memcpy(out + i, part, sizeof(float) * static_cast<size_t>(left));
      }
      largest = vec_max(value, largest);
    }
    *groups++ = vec_largest(largest);
  }
  return vec_sum(nan_seen) != 0.0f;
}

bool has_nan(const float* x, int64_t count) {
  Vec nan_seen = vec_zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) nan_seen = vec_count_nan(nan_seen, vec_load(x + i));
  bool found = vec_sum(nan_seen) != 0.0f;
  for (; i < count; ++i) found |= x[i] != x[i];
  return found;
}

// Sum of e^(x - largest) over the row, in f64 over partial f32 sums of fixed lengths.
double sum_exp(const float* x, int64_t count, float largest) {
  constexpr float kLog2E = 1.4426950408889634f;
  constexpr int64_t kRun = 1024;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kRun) {
    const int64_t end = begin + kRun < count ? begin + kRun : count;
    Vec sum = vec_zero();
    for (int64_t i = begin; i < end; i += kLanes) {
      float part[kLanes] = {};
      const int64_t left = end - i < kLanes ? end - i : kLanes;
      __builtin_memcpy(part, x + i, sizeof(float) * static_cast<size_t>(left));
      const Vec value = vec_keep_first(vec_load(part), static_cast<int>(left), vec_set(kMinusInfinity));
      sum = vec_add(sum, vec_exp2(vec_mul(vec_sub(value, vec_set(largest)), vec_set(kLog2E))));
    }
    total += static_cast<double>(vec_sum(sum));
  }
  return total;
}
