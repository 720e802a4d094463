#include "model/config.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "model/json_file.h"

namespace minimax::model {

namespace {

// Limits of one dimension: far above any model of the family, and small enough that the product of two
// stays far inside 64 bits.
constexpr int32_t kWidthMax = 1 << 20;
constexpr int32_t kVocabMax = 1 << 24;
constexpr int32_t kLayersMax = 1 << 12;
constexpr int32_t kExpertsMax = 1 << 14;
constexpr int32_t kContextMax = 1 << 30;
constexpr int32_t kBlock = 128;  // the one block size of the family's fp8 checkpoints

void check_architecture(const Fields& fields) {
  constexpr std::string_view kClass = "MiniMaxM2ForCausalLM";
  const Json* model_type = fields.find("model_type");
  const Json* classes = fields.find("architectures");
  if (model_type == nullptr && classes == nullptr) fields.refuse("model_type", "\"minimax_m2\"");
  if (classes != nullptr && *classes != Json(Json::Array{Json(kClass)}))
    fields.refuse("architectures", "[\"MiniMaxM2ForCausalLM\"]");
  // Some copies of the family's remote code call the type "minimax", which by itself means an older model.
  if (model_type != nullptr && *model_type != Json("minimax_m2") &&
      !(*model_type == Json("minimax") && classes != nullptr))
    fields.refuse("model_type", "\"minimax_m2\"");
}

// Fields whose other values are other maths than docs/model.md describes. Where the class of transformers
// itself has no such field, its absence means the only value there is.
void check_maths(const Fields& fields, int32_t layers) {
  fields.must_be("hidden_act", "silu");
  fields.must_be("scoring_func", "sigmoid");
  fields.must_be("qk_norm_type", "per_layer");
  fields.must_be("use_qk_norm", true);
  fields.must_be("attn_type_list", Json::Array(static_cast<size_t>(layers), Json(1)));
  fields.must_be("attention_bias", false);
  fields.must_be("sliding_window", nullptr);
  fields.must_be("attn_window_size", nullptr);
  fields.must_be("shared_intermediate_size", 0);
  fields.must_be("routed_scaling_factor", 1.0);
  fields.must_be("norm_topk_prob", true);
  fields.must_be("num_expert_group", 1);
  fields.must_be("topk_group", 1);
  for (const char* beta :
       {"layernorm_full_attention_beta", "layernorm_linear_attention_beta", "layernorm_mlp_beta"})
    fields.must_be(beta, 1.0);
  if (fields.find("hidden_act") == nullptr) fields.refuse("hidden_act", "\"silu\"");
}

// Old keys: rope_theta and rotary_dim. New keys: rope_parameters {rope_type, rope_theta,
// partial_rotary_factor}. Files that carry both must agree; without any the rotated width is unknown.
void read_rope(const Fields& fields, const std::string& file_name, ModelShape& shape) {
  const Json* parameters = fields.find("rope_parameters");
  const Json* scaling = fields.find("rope_scaling");
  for (const auto& [name, object] : {std::pair("rope_parameters", parameters), {"rope_scaling", scaling}}) {
    if (object == nullptr) continue;
    if (!object->is_object()) fields.refuse(name, "an object");
    const Fields inner(*object, file_name, std::string(name) + ".");
    inner.must_be("rope_type", "default");
    inner.must_be("type", "default");
    inner.must_be("factor", 1.0);
  }
  const Json empty = Json::object();
  const Fields rope(parameters != nullptr ? *parameters : empty, file_name, "rope_parameters.");

  shape.rope_theta =
      fields.find("rope_theta") != nullptr ? fields.positive("rope_theta") : rope.positive("rope_theta");
  if (rope.find("rope_theta") != nullptr && rope.positive("rope_theta") != shape.rope_theta)
    rope.refuse("rope_theta", fmt::format("{}, as rope_theta says", shape.rope_theta));

  if (fields.find("rotary_dim") != nullptr) shape.rotary_dim = fields.count("rotary_dim", 2, shape.head_dim);
  for (const Fields* source : {&fields, &rope}) {
    const auto factor = source->number("partial_rotary_factor", 0, 1);
    if (!factor) continue;
    const double exact = *factor * shape.head_dim;
    const auto rotary_dim = static_cast<int32_t>(exact);
    if (shape.rotary_dim == 0) shape.rotary_dim = rotary_dim;
    if (exact != rotary_dim || rotary_dim != shape.rotary_dim)
      source->refuse("partial_rotary_factor",
                     fmt::format("{} of {} dimensions", shape.rotary_dim, shape.head_dim));
  }
  if (shape.rotary_dim == 0)
    fields.refuse("rotary_dim",
                  "the rotated dimensions of a head, here or as "
                  "rope_parameters.partial_rotary_factor");
  if (shape.rotary_dim % 2 != 0) fields.refuse("rotary_dim", "an even number");
}

void read_quantisation(const Fields& fields, const std::string& file_name, ModelShape& shape) {
  const Json* value = fields.find("quantization_config");
  if (value == nullptr) return;
  if (!value->is_object()) fields.refuse("quantization_config", "an object");
  const Fields inner(*value, file_name, "quantization_config.");
  if (inner.find("quant_method") == nullptr) inner.refuse("quant_method", "\"fp8\"");
  inner.must_be("quant_method", "fp8");
  inner.must_be("fmt", "float8_e4m3fn");
  inner.must_be("activation_scheme", "dynamic");
  const Json block = Json::Array{Json(kBlock), Json(kBlock)};
  if (inner.find("weight_block_size") == nullptr) inner.refuse("weight_block_size", shown(block));
  inner.must_be("weight_block_size", block);
  shape.fp8_block_rows = kBlock;
  shape.fp8_block_cols = kBlock;
}

}  // namespace

ModelConfig parse_config(const Json& config, const std::string& file_name) {
  if (!config.is_object()) throw Error("{}: expected an object, found {}.", file_name, config.type_name());
  const Fields fields(config, file_name);
  check_architecture(fields);

  ModelConfig out;
  ModelShape& shape = out.shape;
  const Json* model_type = fields.find("model_type");
  out.model_type = model_type != nullptr ? model_type->as_string() : "minimax_m2";
  shape.hidden = fields.count("hidden_size", 1, kWidthMax);
  shape.layers = fields.count("num_hidden_layers", 1, kLayersMax);
  shape.head_dim = fields.count("head_dim", 2, kWidthMax);
  shape.q_heads = fields.count("num_attention_heads", 1, kWidthMax / shape.head_dim);
  shape.kv_heads = fields.count("num_key_value_heads", 1, shape.q_heads);
  if (shape.q_heads % shape.kv_heads != 0)
    fields.refuse("num_key_value_heads", fmt::format("a divisor of num_attention_heads, {}", shape.q_heads));
  shape.experts = fields.count("num_local_experts", 1, kExpertsMax);
  shape.experts_per_token = fields.count("num_experts_per_tok", 1, shape.experts);
  shape.expert_width = fields.count("intermediate_size", 1, kWidthMax);
  shape.rms_eps = fields.positive("rms_norm_eps");
  shape.vocab_rows = fields.count("vocab_size", 1, kVocabMax);
  shape.context_tokens_max = fields.count("max_position_embeddings", 1, kContextMax);
  shape.tied_embeddings = fields.boolean("tie_word_embeddings");
  check_maths(fields, shape.layers);
  // check_maths has refused use_qk_norm false. Files written by transformers' own class know neither switch,
  // since that class always has both; bind_tensors then insists on the tensors.
  shape.qk_norm = true;
  shape.routing_bias = fields.find("use_routing_bias") == nullptr || fields.boolean("use_routing_bias");
  read_rope(fields, file_name, shape);
  read_quantisation(fields, file_name, shape);

  out.eos_ids = fields.ids("eos_token_id");
  if (const auto bos = fields.integer("bos_token_id", 0, std::numeric_limits<int32_t>::max()))
    out.bos_id = static_cast<int32_t>(*bos);
  return out;
}

ModelConfig load_config(const std::filesystem::path& model_dir) {
  const auto path = model_dir / "config.json";
  return parse_config(read_json_object(path), path.string());
}

GenerationConfig parse_generation_config(const Json& config, const std::string& file_name) {
  if (!config.is_object()) throw Error("{}: expected an object, found {}.", file_name, config.type_name());
  const Fields fields(config, file_name);
  constexpr double kMax = std::numeric_limits<double>::max();
  GenerationConfig out;
  out.temperature = fields.number("temperature", 0, kMax);
  out.top_p = fields.number("top_p", 0, 1);
  if (out.top_p == 0.0) fields.refuse("top_p", "a number above 0, at most 1");
  out.min_p = fields.number("min_p", 0, 1);
  out.repetition_penalty = fields.number("repetition_penalty", 0, kMax);
  if (out.repetition_penalty == 0.0) fields.refuse("repetition_penalty", "a number above 0");
  out.top_k = fields.integer("top_k", -1, std::numeric_limits<int32_t>::max());
  out.max_new_tokens = fields.integer("max_new_tokens", 1, std::numeric_limits<int32_t>::max());
  out.eos_ids = fields.ids("eos_token_id");
  if (const auto bos = fields.integer("bos_token_id", 0, std::numeric_limits<int32_t>::max()))
    out.bos_id = static_cast<int32_t>(*bos);
  // As in vLLM do_sample is not obeyed: sampling follows the temperature. Say so where it would matter.
  const Json* do_sample = fields.find("do_sample");
  if (do_sample != nullptr && !do_sample->is_bool()) fields.refuse("do_sample", "true or false");
  if (do_sample != nullptr && !do_sample->as_bool() && out.temperature.value_or(1.0) != 0.0)
    log::warning("{}: do_sample is false, but temperature decides: set it to 0 for greedy decoding.",
                 file_name);
  return out;
}

GenerationConfig load_generation_config(const std::filesystem::path& model_dir) {
  const auto path = model_dir / "generation_config.json";
  if (!std::filesystem::exists(path)) return {};
  return parse_generation_config(read_json_object(path), path.string());
}

Json to_config_json(const ModelConfig& config) {
  const ModelShape& shape = config.shape;
  Json out = Json::object();
  out.set("architectures", Json::Array{Json("MiniMaxM2ForCausalLM")});
  out.set("attn_type_list", Json::Array(static_cast<size_t>(shape.layers), Json(1)));
  if (config.bos_id) out.set("bos_token_id", *config.bos_id);
  if (config.eos_ids.size() == 1) out.set("eos_token_id", config.eos_ids[0]);
  if (config.eos_ids.size() > 1) {
    out.set("eos_token_id", Json::Array(config.eos_ids.begin(), config.eos_ids.end()));
  }
  out.set("head_dim", shape.head_dim);
  out.set("hidden_act", "silu");
  out.set("hidden_size", shape.hidden);
  out.set("intermediate_size", shape.expert_width);
  out.set("max_position_embeddings", shape.context_tokens_max);
  out.set("model_type", config.model_type);
  out.set("num_attention_heads", shape.q_heads);
  out.set("num_experts_per_tok", shape.experts_per_token);
  out.set("num_hidden_layers", shape.layers);
  out.set("num_key_value_heads", shape.kv_heads);
  out.set("num_local_experts", shape.experts);
  out.set("qk_norm_type", "per_layer");
  if (shape.fp8_block_rows > 0) {
    out.set("quantization_config",
            Json::object(
                {{"activation_scheme", "dynamic"},
                 {"fmt", "float8_e4m3fn"},
                 {"quant_method", "fp8"},
                 {"weight_block_size", Json::Array{Json(shape.fp8_block_rows), Json(shape.fp8_block_cols)}},
                 {"modules_to_not_convert",
                  Json::Array{Json("gate"), Json("e_score_correction_bias"), Json("lm_head")}}}));
  }
  out.set("rms_norm_eps", shape.rms_eps);
  out.set("rope_theta", shape.rope_theta);
  out.set("rotary_dim", shape.rotary_dim);
  out.set("scoring_func", "sigmoid");
  out.set("shared_intermediate_size", 0);
  out.set("tie_word_embeddings", shape.tied_embeddings);
  out.set("torch_dtype", "bfloat16");
  out.set("use_cache", true);
  out.set("use_mtp", false);
  out.set("use_qk_norm", shape.qk_norm);
  out.set("use_routing_bias", shape.routing_bias);
  out.set("vocab_size", shape.vocab_rows);
  return out;
}

}  // namespace minimax::model
