#pragma once
// Names of the activations that every forward can show, so that two of them can be compared point by point.
// tools/reference.py uses the same names. A layer's tap is "layers.<n>.<name>". All are [rows, width],
// row-major.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace minimax::model {

namespace taps {
inline constexpr std::string_view kEmbed = "embed";                 // [rows, hidden]
inline constexpr std::string_view kAttnNorm = "attn_norm";          // [rows, hidden]
inline constexpr std::string_view kQProj = "q_proj";                // [rows, q_width]
inline constexpr std::string_view kKProj = "k_proj";                // [rows, kv_width]
inline constexpr std::string_view kVProj = "v_proj";                // [rows, kv_width]
inline constexpr std::string_view kQNorm = "q_norm";                // [rows, q_width]
inline constexpr std::string_view kKNorm = "k_norm";                // [rows, kv_width]
inline constexpr std::string_view kQRope = "q_rope";                // [rows, q_width]
inline constexpr std::string_view kKRope = "k_rope";                // [rows, kv_width]
inline constexpr std::string_view kAttn = "attn";                   // [rows, q_width]
inline constexpr std::string_view kOProj = "o_proj";                // [rows, hidden]
inline constexpr std::string_view kAttnResidual = "attn_residual";  // [rows, hidden]
inline constexpr std::string_view kMlpNorm = "mlp_norm";            // [rows, hidden]
inline constexpr std::string_view kRouterLogits = "router_logits";  // [rows, experts]
inline constexpr std::string_view kRouterScores = "router_scores";  // [rows, experts], sigmoid
inline constexpr std::string_view kExpertIds =
    "expert_ids";  // [rows, experts_per_token], by falling score + bias
inline constexpr std::string_view kExpertWeights = "expert_weights";  // [rows, experts_per_token], sum 1
// silu(gate) * up of each chosen expert, slot by slot: [rows, experts_per_token * expert_width]. Optional.
inline constexpr std::string_view kExpertInner = "expert_inner";
inline constexpr std::string_view kMoe = "moe";                   // [rows, hidden]
inline constexpr std::string_view kMlpResidual = "mlp_residual";  // [rows, hidden]
inline constexpr std::string_view kFinalNorm = "final_norm";      // [rows, hidden]
inline constexpr std::string_view kLogits = "logits";             // [rows, vocab_rows]
}  // namespace taps

// Called by a forward at each tap. layer is -1 outside the layers; expert ids come as floats.
class TapSink {
 public:
  virtual ~TapSink() = default;
  virtual void tap(std::string_view name, int32_t layer, int64_t rows, int64_t width,
                   const float* values) = 0;
};

}  // namespace minimax::model
