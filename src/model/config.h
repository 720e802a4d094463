#pragma once
// config.json and generation_config.json of the MiniMax-M2 family, read strictly: what a file says is used,
// what it lacks and the maths needs is an Error, never a silent default.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace minimax::model {

// The shape of one decoder of the family. Source of the names: the published configuration_minimax_m2.py.
struct ModelShape {
  int32_t hidden = 0;              // hidden_size
  int32_t layers = 0;              // num_hidden_layers
  int32_t q_heads = 0;             // num_attention_heads
  int32_t kv_heads = 0;            // num_key_value_heads
  int32_t head_dim = 0;            // head_dim
  int32_t rotary_dim = 0;          // rotary_dim, or partial_rotary_factor * head_dim
  double rope_theta = 0;           // rope_theta, or rope_parameters.rope_theta
  int32_t experts = 0;             // num_local_experts
  int32_t experts_per_token = 0;   // num_experts_per_tok
  int32_t expert_width = 0;        // intermediate_size
  bool routing_bias = false;       // use_routing_bias
  bool qk_norm = false;            // use_qk_norm, of the kind "per_layer": over the whole projection
  double rms_eps = 0;              // rms_norm_eps
  int32_t vocab_rows = 0;          // vocab_size: rows of the embedding and the head
  int32_t context_tokens_max = 0;  // max_position_embeddings
  bool tied_embeddings = false;    // tie_word_embeddings
  // Block-scaled fp8 weights: rows and columns of a block. 0: the projections are not quantised.
  int32_t fp8_block_rows = 0;
  int32_t fp8_block_cols = 0;

  int32_t q_width() const { return q_heads * head_dim; }
  int32_t kv_width() const { return kv_heads * head_dim; }
  bool operator==(const ModelShape&) const = default;
};

struct ModelConfig {
  ModelShape shape;
  std::string model_type;
  std::vector<int32_t> eos_ids;  // of config.json; generation_config.json overrides
  std::optional<int32_t> bos_id;
};

// The checkpoint's own sampling defaults; what the file does not set stays empty.
struct GenerationConfig {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_new_tokens;
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> bos_id;
};

// Throws Error naming file, field, what was expected and what was found.
ModelConfig parse_config(const Json& config, const std::string& file_name);
ModelConfig load_config(const std::filesystem::path& model_dir);
GenerationConfig parse_generation_config(const Json& config, const std::string& file_name);
// An absent generation_config.json gives an empty one.
GenerationConfig load_generation_config(const std::filesystem::path& model_dir);

// config.json in the words of the published files: parse_config of it gives the same ModelConfig.
Json to_config_json(const ModelConfig& config);

}  // namespace minimax::model
