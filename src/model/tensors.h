#pragma once
// The table of tensors of the family: which names a checkpoint must hold, with which shape, dtype and role,
// and the views of them that a back-end packs or computes from. Names: docs/model.md.

#include <cstdint>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/config.h"

namespace minimax::model {

enum class Role : uint8_t { kEmbedding, kHead, kNorm, kAttention, kRouter, kExpert };

// Which weight of the decoder a tensor is; decides how ranks share it (shard.h).
enum class Part : uint8_t {
  kEmbedding,
  kHead,
  kHiddenNorm,  // a norm over the hidden width
  kQNorm,
  kKNorm,
  kQ,
  kK,
  kV,
  kO,
  kRouter,
  kRouterBias,
  kGate,
  kUp,
  kDown
};

// One row of the table.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype =
      DType::kBf16;  // as published; bf16, f16 and f32 may stand for one another (Linear, Norm and so on)
  Role role = Role::kNorm;
  int32_t layer = -1;
  int32_t expert = -1;
  Part part = Part::kHiddenNorm;
  bool is_scale = false;  // weight_scale_inv: one element a block of the weight named before it
};

// Every tensor a checkpoint of this shape holds, in published order. The one place that spells the names.
std::vector<TensorSpec> tensor_table(const ModelShape& shape);

// y = W x. weight [out, in]; with fp8 weights scale_inv [ceil(out / block_rows), ceil(in / block_cols)] f32:
// the value of an element is its fp8 value times the scale of its block.
struct LinearView {
  TensorView weight;
  bool quantised = false;
  TensorView scale_inv;
};

struct ExpertView {
  LinearView gate;  // w1 [expert_width, hidden]
  LinearView up;    // w3 [expert_width, hidden]
  LinearView down;  // w2 [hidden, expert_width]
};

struct LayerView {
  TensorView attn_norm;  // input_layernorm [hidden]
  LinearView q, k, v, o;
  TensorView q_norm;       // [q_width]
  TensorView k_norm;       // [kv_width]
  TensorView mlp_norm;     // post_attention_layernorm [hidden]
  TensorView router;       // block_sparse_moe.gate [experts, hidden]
  TensorView router_bias;  // e_score_correction_bias [experts]; data is nullptr without routing_bias
  std::vector<ExpertView> experts;
};

struct ModelView {
  ModelShape shape;
  TensorView embedding;   // [vocab_rows, hidden]
  TensorView final_norm;  // [hidden]
  TensorView head;        // [vocab_rows, hidden]; the embedding if tied
  std::vector<LayerView> layers;
};

// Finds and checks every tensor of the table. Throws Error that lists the missing, the unknown and the
// misshapen by name (the first few and a count). Tensors of MTP layers (layer index >= shape.layers, or "mtp"
// in the name) are skipped with a log line.
ModelView bind_tensors(const Checkpoint& checkpoint, const ModelShape& shape);

// The tensors of a model without files, in published dtypes: every view's data is nullptr. For back-ends that
// can make weights up (cuda), to time shapes that nobody can download.
class DescribedModel {
 public:
  explicit DescribedModel(const ModelShape& shape);
  DescribedModel(const DescribedModel&) = delete;
  DescribedModel& operator=(const DescribedModel&) = delete;
  const ModelView& view() const { return view_; }

 private:
  std::vector<TensorSpec> table_;  // holds the names
  ModelView view_;
};

// Widens elements [begin, begin + count) of any dtype but fp8 into floats.
void widen(const TensorView& tensor, int64_t begin, int64_t count, float* out);

}  // namespace minimax::model
