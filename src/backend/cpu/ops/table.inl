constexpr Kernels make_table() {
  return {.linear = linear,
          .rms_norm = rms_norm,
          .quantise = quantise,
          .add = add,
          .swiglu = swiglu,
          .combine = combine,
          .rope = rope,
          .attention = attention,
          .merge_attention = merge_attention,
          .finish_attention = finish_attention,
          .scale_logits = scale_logits,
          .has_nan = has_nan,
          .sum_exp = sum_exp,
          .read_all = read_all};
}
