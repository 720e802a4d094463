#include "model/config.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

using testing::HasSubstr;

// The fields of the published MiniMax-M2 file that bear on the maths.
Json published() {
  Json config = parse_json(R"({
    "architectures": ["MiniMaxM2ForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_minimax_m2.MiniMaxM2Config"},
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 3072, "intermediate_size": 1536,
    "max_position_embeddings": 196608, "mlp_intermediate_size": 8192, "model_type": "minimax_m2",
    "mtp_transformer_layers": 1, "num_attention_heads": 48, "num_experts_per_tok": 8,
    "num_hidden_layers": 62, "num_key_value_heads": 8, "num_local_experts": 256, "num_mtp_modules": 3,
    "qk_norm_type": "per_layer", "rms_norm_eps": 1e-06, "rope_theta": 5000000, "rotary_dim": 64,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8",
      "weight_block_size": [128, 128],
      "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]},
    "scoring_func": "sigmoid", "shared_intermediate_size": 0, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.46.1", "use_cache": true, "use_mtp": true,
    "use_qk_norm": true, "use_routing_bias": true, "vocab_size": 200064})")
                    .value();
  config.set("attn_type_list", Json::Array(62, Json(1)));
  return config;
}

std::string error_of(const Json& config) {
  try {
    (void)parse_config(config, "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Json with(std::string_view field, Json value) {
  Json config = published();
  config.set(field, std::move(value));
  return config;
}

Json without(std::string_view field) {
  Json config = published();
  std::erase_if(config.as_object(), [&](const Json::Member& member) { return member.first == field; });
  return config;
}

TEST(Config, ReadsThePublishedFile) {
  const ModelConfig config = parse_config(published(), "config.json");
  EXPECT_EQ(config.shape, m2_shape());
  EXPECT_EQ(config.model_type, "minimax_m2");
  EXPECT_TRUE(config.eos_ids.empty());
}

TEST(Config, ReadsTheNewRopeKeys) {
  Json config = without("rope_theta");
  std::erase_if(config.as_object(), [](const Json::Member& member) { return member.first == "rotary_dim"; });
  config.set(
      "rope_parameters",
      Json::object({{"rope_type", "default"}, {"rope_theta", 5000000.0}, {"partial_rotary_factor", 0.5}}));
  EXPECT_EQ(parse_config(config, "config.json").shape, m2_shape());
  config.set("rotary_dim", 64);  // files of transformers 5 carry both
  config.set("partial_rotary_factor", 0.5);
  EXPECT_EQ(parse_config(config, "config.json").shape, m2_shape());
}

TEST(Config, RefusesRopeKeysThatDisagreeOrAreMissing) {
  EXPECT_THAT(error_of(without("rotary_dim")), HasSubstr("\"rotary_dim\""));
  EXPECT_THAT(error_of(without("rope_theta")), HasSubstr("rope_theta"));
  EXPECT_THAT(error_of(with("partial_rotary_factor", 1.0)), HasSubstr("64 of 128 dimensions, found 1.0"));
  EXPECT_THAT(error_of(with("partial_rotary_factor", 0.3)), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(error_of(with("rope_parameters", Json::object({{"rope_theta", 1e4}}))),
              HasSubstr("rope_parameters.rope_theta"));
  EXPECT_THAT(error_of(with("rope_parameters", Json::object({{"rope_type", "yarn"}}))),
              HasSubstr("\"rope_parameters.rope_type\": expected \"default\", found \"yarn\""));
  EXPECT_THAT(error_of(with("rope_scaling", Json::object({{"type", "linear"}, {"factor", 4.0}}))),
              HasSubstr("rope_scaling.type"));
  EXPECT_THAT(error_of(with("rotary_dim", 63)), HasSubstr("an even number"));
  EXPECT_THAT(error_of(with("rotary_dim", 130)), HasSubstr("from 2 to 128, found 130"));
}

TEST(Config, EveryFieldTheMathsNeedsIsRequired) {
  for (const char* field :
       {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "num_local_experts", "num_experts_per_tok", "intermediate_size", "rms_norm_eps", "vocab_size",
        "max_position_embeddings", "tie_word_embeddings", "hidden_act"}) {
    const std::string error = error_of(without(field));
    EXPECT_THAT(error, HasSubstr("config.json: field \"" + std::string(field) + "\": expected")) << field;
    EXPECT_THAT(error, HasSubstr("found nothing")) << field;
    EXPECT_THAT(error_of(with(field, nullptr)), HasSubstr("found null")) << field;
    EXPECT_THAT(error_of(with(field, "text")), HasSubstr("found \"text\"")) << field;
    EXPECT_THAT(error_of(with(field, -1)), HasSubstr("found -1")) << field;
    EXPECT_THAT(error_of(with(field, Json::array())), HasSubstr("found []")) << field;
  }
}

TEST(Config, OtherMathsIsRefusedByName) {
  const std::vector<std::pair<const char*, Json>> others = {
      {"scoring_func", "softmax"},
      {"qk_norm_type", "per_head"},
      {"use_qk_norm", false},
      {"use_routing_bias", "yes"},
      {"attn_type_list", Json::Array(62, Json(0))},
      {"attn_type_list", Json::Array(61, Json(1))},
      {"hidden_act", "gelu"},
      {"attention_bias", true},
      {"sliding_window", 4096},
      {"shared_intermediate_size", 512},
      {"routed_scaling_factor", 2.5},
      {"layernorm_mlp_beta", 3.5},
      {"num_expert_group", 8},
      {"architectures", Json::Array{Json("MiniMaxForCausalLM")}},
      {"model_type", "minimax_m1"},
  };
  for (const auto& [field, value] : others)
    EXPECT_THAT(error_of(with(field, value)), HasSubstr("field \"" + std::string(field) + "\"")) << field;
  // Neutral values of the same fields are what the maths does.
  EXPECT_EQ(error_of(with("sliding_window", nullptr)), "");
  EXPECT_EQ(error_of(with("routed_scaling_factor", 1)), "");
}

TEST(Config, AnOddHeadCountOrHugeValueIsRefused) {
  EXPECT_THAT(error_of(with("num_key_value_heads", 7)), HasSubstr("a divisor of num_attention_heads, 48"));
  EXPECT_THAT(error_of(with("num_experts_per_tok", 257)), HasSubstr("from 1 to 256"));
  EXPECT_THAT(error_of(with("hidden_size", int64_t{1} << 40)), HasSubstr("hidden_size"));
  EXPECT_THAT(error_of(with("hidden_size", Json::BigInteger{"99999999999999999999"})),
              HasSubstr("hidden_size"));
  EXPECT_THAT(error_of(with("hidden_size", 3072.5)), HasSubstr("found 3072.5"));
}

TEST(Config, OtherQuantisationIsRefusedByName) {
  const auto quantisation = [](std::string_view field, Json value) {
    Json config = published();
    config.find("quantization_config")->set(field, std::move(value));
    return error_of(config);
  };
  EXPECT_THAT(quantisation("quant_method", "gptq"), HasSubstr("expected \"fp8\", found \"gptq\""));
  EXPECT_THAT(quantisation("quant_method", nullptr), HasSubstr("quantization_config.quant_method"));
  EXPECT_THAT(quantisation("weight_block_size", Json::Array{Json(64), Json(64)}),
              HasSubstr("expected [128, 128], found [64, 64]"));
  EXPECT_THAT(quantisation("weight_block_size", nullptr), HasSubstr("weight_block_size"));
  EXPECT_THAT(quantisation("activation_scheme", "static"), HasSubstr("activation_scheme"));
  EXPECT_THAT(quantisation("fmt", "float8_e5m2"), HasSubstr("fmt"));
  EXPECT_THAT(error_of(with("quantization_config", "fp8")), HasSubstr("an object"));
  ModelShape unquantised = m2_shape();
  unquantised.fp8_block_rows = unquantised.fp8_block_cols = 0;
  EXPECT_EQ(parse_config(without("quantization_config"), "config.json").shape, unquantised);
}

// transformers' own class has neither switches nor lists: a file it wrote holds only these.
TEST(Config, ReadsAFileWrittenByTheInTreeClass) {
  Json config = parse_json(R"({"model_type": "minimax_m2", "architectures": ["MiniMaxM2ForCausalLM"],
    "vocab_size": 512, "hidden_size": 256, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128, "hidden_act": "silu",
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-06, "num_experts_per_tok": 2, "num_local_experts": 8,
    "bos_token_id": 200034, "eos_token_id": [200020, 7], "pad_token_id": null, "tie_word_embeddings": false,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5}})")
                    .value();
  ModelShape expected = small_test_shape();
  expected.fp8_block_rows = expected.fp8_block_cols = 0;
  const ModelConfig read = parse_config(config, "config.json");
  EXPECT_EQ(read.shape, expected);
  EXPECT_EQ(read.bos_id, 200034);
  EXPECT_EQ(read.eos_ids, (std::vector<int32_t>{200020, 7}));
}

TEST(Config, WritingAndReadingGivesTheSame) {
  ModelConfig config;
  config.model_type = "minimax_m2";
  config.shape = small_test_shape();
  config.eos_ids = {3, 4};
  config.bos_id = 5;
  const ModelConfig read = parse_config(to_config_json(config), "config.json");
  EXPECT_EQ(read.shape, config.shape);
  EXPECT_EQ(read.eos_ids, config.eos_ids);
  EXPECT_EQ(read.bos_id, config.bos_id);
}

TEST(Config, FileErrorsNameTheFile) {
  const TestFolder folder;
  const auto error = [&](const std::string& text) -> std::string {
    std::ofstream(folder.path() / "config.json", std::ios::binary) << text;
    try {
      (void)load_config(folder.path());
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THROW((void)load_config(folder.path()), Error);
  EXPECT_THAT(error(""), HasSubstr("config.json: expected JSON"));
  EXPECT_THAT(error("{\"hidden_size\": "), HasSubstr("config.json: expected JSON"));
  EXPECT_THAT(error("[1]"), HasSubstr("expected a JSON object, found array"));
  EXPECT_THAT(error("{}"), HasSubstr("model_type"));
  std::filesystem::remove(folder.path() / "config.json");
  std::filesystem::create_directory(folder.path() / "config.json");
  EXPECT_THROW((void)load_config(folder.path()), Error);
}

TEST(GenerationConfig, ReadsWhatIsSetAndLeavesTheRestEmpty) {
  const Json json = parse_json(R"({"_from_model_config": true, "bos_token_id": 200019, "do_sample": true,
    "eos_token_id": 200020, "temperature": 1.0, "top_p": 0.95, "top_k": 40})")
                        .value();
  const GenerationConfig config = parse_generation_config(json, "generation_config.json");
  EXPECT_EQ(config.temperature, 1.0);
  EXPECT_EQ(config.top_p, 0.95);
  EXPECT_EQ(config.top_k, 40);
  EXPECT_EQ(config.min_p, std::nullopt);
  EXPECT_EQ(config.repetition_penalty, std::nullopt);
  EXPECT_EQ(config.eos_ids, std::vector<int32_t>{200020});
  EXPECT_EQ(config.bos_id, 200019);
}

TEST(GenerationConfig, RefusesValuesOutOfRange) {
  for (const char* text :
       {R"({"temperature": -1})", R"({"temperature": "hot"})", R"({"top_p": 0})", R"({"top_p": 1.1})",
        R"({"top_k": 1.5})", R"({"min_p": 2})", R"({"repetition_penalty": 0})", R"({"eos_token_id": -2})",
        R"({"eos_token_id": [1, "2"]})", R"({"bos_token_id": [1]})", R"({"do_sample": 1})"}) {
    try {
      (void)parse_generation_config(parse_json(text).value(), "generation_config.json");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("generation_config.json: field \"")) << text;
    }
  }
}

TEST(GenerationConfig, AnAbsentFileGivesAnEmptyOne) {
  const TestFolder folder;
  EXPECT_EQ(load_generation_config(folder.path()).temperature, std::nullopt);
}

}  // namespace
}  // namespace minimax::model
