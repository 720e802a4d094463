#pragma once
// The weights as the kernels take them. Projections, experts and head are computed straight from the mapped
// checkpoint in their stored form; copied are only what is small (norms, block scales, router bias), f16,
// which no kernel reads, and the bf16 weights that arithmetic "bf16" makes of all that is stored otherwise.

#include <cstdint>
#include <deque>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/common/host_buffer.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/thread_pool.h"
#include "model/tensors.h"

namespace minimax::backend::cpu {

struct ExpertWeights {
  Matrix gate;
  Matrix up;
  Matrix down;
};

// Norm weights are f32, zero beyond the width up to a multiple of kRowAlign.
struct LayerWeights {
  std::vector<float> attn_norm;
  Matrix q, k, v, o;
  std::vector<float> q_norm;
  std::vector<float> k_norm;
  std::vector<float> mlp_norm;
  Matrix router;
  std::vector<float> router_bias;  // [experts], zeros if the model has none
  std::vector<ExpertWeights> experts;
};

class Weights {
 public:
  // Throws Error for a shape the kernels cannot take, naming the field. `model` must outlive this.
  Weights(const model::ModelView& model, common::Arithmetic arithmetic, ThreadPool& threads);

  const model::ModelShape& shape() const { return model_->shape; }
  common::Arithmetic arithmetic() const { return arithmetic_; }
  const LayerWeights& layer(int32_t n) const { return layers_[static_cast<size_t>(n)]; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const Matrix& head() const { return head_; }

  // Row `token` of the embedding as bf16.
  void embed(int32_t token, uint16_t* out) const;

  int64_t mapped_bytes() const { return mapped_bytes_; }  // computed from where the checkpoint maps them
  int64_t copied_bytes() const { return copied_bytes_; }

 private:
  Matrix matrix_of(const model::LinearView& view, ThreadPool& threads);
  Matrix as_stored(const model::TensorView& tensor, ThreadPool& threads);
  Matrix as_bf16(const model::LinearView& view, ThreadPool& threads);
  const float* widened(const model::TensorView& tensor);

  const model::ModelView* model_;
  common::Arithmetic arithmetic_;
  std::vector<LayerWeights> layers_;
  std::vector<float> final_norm_;
  Matrix head_;
  std::deque<common::HostMemory> owned_;
  std::deque<std::vector<float>> owned_floats_;
  int64_t mapped_bytes_ = 0;
  int64_t copied_bytes_ = 0;
};

}  // namespace minimax::backend::cpu
