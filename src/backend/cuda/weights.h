#pragma once
// The model's weights on the device, or a rank's slices of them (model/shard.h): fp8 codes and their scales
// as stored, bf16 as stored, everything small (norms, biases) in fp32; the experts of a layer one after the
// other, so that a kernel finds expert e by arithmetic. The arithmetic bf16 makes a bf16 copy of fp8 weights
// at load.

#include <cstdint>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"
#include "model/shard.h"
#include "model/tensors.h"

namespace minimax::backend::cuda {

// Which part of a model a device holds.
struct Shard {
  model::ParallelLayout layout = {};
  int32_t rank = 0;
};

struct LayerWeights {
  const float* attn_norm = nullptr;  // [hidden]
  Matrix q, k, v, o;
  const float* q_norm = nullptr;  // [q_width]; nullptr without qk_norm
  const float* k_norm = nullptr;  // [kv_width]
  const float* mlp_norm = nullptr;
  Matrix router;
  const float* router_bias = nullptr;  // [experts]; zeros without routing_bias
  Matrix gate, up, down;               // of all experts
};

class Weights {
 public:
  // Throws Error for shapes and layouts the kernels do not serve, and where the device's memory is too small.
  // A tensor without data (model::describe) is made of random numbers on the device, whole_shape and all.
  Weights(const model::ModelView& model, common::Arithmetic arithmetic, const Shard& shard = {});

  // Of a rank of a model in the published dtypes, to within what the cuts of scale blocks add.
  static int64_t bytes_of(const model::ModelShape& whole, common::Arithmetic arithmetic, const Shard& shard);

  const model::ModelShape& shape() const { return shape_; }  // of what is held here
  const model::ModelShape& whole_shape() const { return whole_; }
  const Shard& shard() const { return shard_; }
  // With expert parallelism: matrices of experts hold these alone.
  const ExpertSpan& held() const { return held_; }
  common::Arithmetic arithmetic() const { return arithmetic_; }
  const LayerWeights& layer(int32_t n) const { return layers_[static_cast<size_t>(n)]; }
  const uint16_t* embedding() const { return embedding_; }
  const float* final_norm() const { return final_norm_; }
  const Matrix& head() const { return head_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* reserve(int64_t bytes);
  model::Box box_of(model::Part part, int32_t expert = -1) const;
  const float* floats(const model::TensorView& tensor, model::Part part);
  const uint16_t* bf16_table(const model::TensorView& tensor, const model::Box& box);
  Matrix matrix(const model::LinearView& view, model::Part part) { return matrices({&view}, part); }
  // All of one shape and dtype: one, or those of the experts in order.
  Matrix matrices(const std::vector<const model::LinearView*>& views, model::Part part);
  void upload(const DeviceMemory& to, int64_t offset, const model::LinearView& view,
              const model::Box& box) const;
  void upload_scales(const DeviceMemory& to, int64_t offset, const model::LinearView& view,
                     const model::Box& box) const;

  model::ModelShape whole_;
  Shard shard_;
  model::ModelShape shape_;
  ExpertSpan held_;
  common::Arithmetic arithmetic_;
  std::vector<DeviceMemory> memory_;
  std::vector<LayerWeights> layers_;
  const uint16_t* embedding_ = nullptr;
  const float* final_norm_ = nullptr;
  Matrix head_;
  int64_t bytes_ = 0;
};

}  // namespace minimax::backend::cuda
