#include "model/tensors.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float_types.h"
#include "model/safetensors.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(TensorTable, HasThePublishedNamesAndCounts) {
  const auto table = tensor_table(m2_shape());
  EXPECT_EQ(table.size(), 96'103u);  // names in the published index
  std::set<std::string> names;
  int64_t elements = 0;
  for (const TensorSpec& spec : table) {
    names.insert(spec.name);
    int64_t size = 1;
    for (const int64_t dim : spec.shape) size *= dim;
    elements += size;
  }
  EXPECT_EQ(names.size(), table.size());
  // The hub counts 228 703 644 928 stored elements of MiniMax-M2, scales included.
  EXPECT_EQ(elements, 228'703'644'928);
  EXPECT_TRUE(names.contains("model.layers.61.block_sparse_moe.experts.255.w2.weight_scale_inv"));
  EXPECT_TRUE(names.contains("model.layers.0.block_sparse_moe.e_score_correction_bias"));
  EXPECT_FALSE(names.contains("lm_head.weight_scale_inv"));
}

TEST(TensorTable, RaggedEdgesHaveABlockOfTheirOwn) {
  ModelShape shape = small_test_shape();
  shape.hidden = 200;
  shape.expert_width = 130;
  for (const TensorSpec& spec : tensor_table(shape)) {
    if (spec.name == "model.layers.0.block_sparse_moe.experts.0.w1.weight_scale_inv") {
      EXPECT_EQ(spec.shape, (std::vector<int64_t>{2, 2}));
      return;
    }
  }
  FAIL();
}

// A checkpoint of these entries, zeros all, bound to the shape.
std::string bind_error(const ModelShape& shape, const std::function<void(std::vector<HeaderEntry>&)>& edit) {
  std::vector<HeaderEntry> entries;
  for (const TensorSpec& spec : tensor_table(shape))
    entries.push_back({spec.name, spec.dtype, spec.shape, 0, 0});
  edit(entries);
  uint64_t bytes = 0;
  for (HeaderEntry& entry : entries) {
    entry.bytes = bytes_of(entry.dtype);
    for (const int64_t dim : entry.shape) entry.bytes *= static_cast<uint64_t>(dim);
    bytes += entry.bytes;
  }
  const TestFolder folder;
  std::ofstream(folder.path() / "model.safetensors", std::ios::binary)
      << safetensors_header(entries) << std::string(bytes, '\0');
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  try {
    const ModelView model = bind_tensors(checkpoint, shape);
    EXPECT_EQ(model.layers.size(), static_cast<size_t>(shape.layers));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

HeaderEntry& entry_of(std::vector<HeaderEntry>& entries, std::string_view name) {
  for (HeaderEntry& entry : entries) {
    if (entry.name == name) return entry;
  }
  throw Error("no such entry");
}

constexpr const char* kUp = "model.layers.1.block_sparse_moe.experts.3.w3";

TEST(BindTensors, FindsEveryTensorOfTheTable) {
  const TestCheckpoint made(small_test_shape());
  const ModelView& model = made.view();
  const LayerView& layer = model.layers[1];
  EXPECT_EQ(layer.q.weight.name, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(layer.q.scale_inv.shape, (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(layer.experts[3].gate.weight.name, "model.layers.1.block_sparse_moe.experts.3.w1.weight");
  EXPECT_EQ(layer.experts[3].up.weight.name, std::string(kUp) + ".weight");
  EXPECT_EQ(layer.experts[3].down.weight.name, "model.layers.1.block_sparse_moe.experts.3.w2.weight");
  EXPECT_EQ(layer.k_norm.shape, (std::vector<int64_t>{256}));
  EXPECT_EQ(model.head.name, "lm_head.weight");
}

TEST(BindTensors, NamesTheMissingTheUnknownAndTheMisshapen) {
  const std::string error = bind_error(small_test_shape(), [](std::vector<HeaderEntry>& entries) {
    entry_of(entries, "model.norm.weight").name = "model.final_norm.weight";
    entry_of(entries, "model.layers.0.self_attn.q_norm.weight").shape = {128};
    entry_of(entries, std::string(kUp) + ".weight_scale_inv").dtype = DType::kBf16;
  });
  EXPECT_THAT(error,
              AllOf(HasSubstr("1 missing: \"model.norm.weight\""),
                    HasSubstr("1 unknown: \"model.final_norm.weight\""),
                    HasSubstr("2 with the wrong shape or dtype: \"model.layers.0.self_attn.q_norm.weight\""
                              " (expected BF16, F16 or F32 [512], found BF16 [128])"),
                    HasSubstr("weight_scale_inv\" (expected F32 [1, 2], found BF16 [1, 2])")));
}

TEST(BindTensors, ALongListIsCutAndCounted) {
  const std::string error = bind_error(small_test_shape(), [](std::vector<HeaderEntry>& entries) {
    std::erase_if(entries,
                  [](const HeaderEntry& entry) { return entry.name.starts_with("model.layers.1."); });
  });
  EXPECT_THAT(error,
              AllOf(HasSubstr("34 missing: \"model.layers.1.input_layernorm.weight\""), HasSubstr(", ...")));
  EXPECT_LT(error.size(), 600u);
}

TEST(BindTensors, SkipsMtpLayersOnly) {
  const auto add = [](const char* name) {
    return [name](std::vector<HeaderEntry>& entries) { entries.push_back({name, DType::kBf16, {1}, 0, 0}); };
  };
  const ModelShape shape = small_test_shape();
  EXPECT_EQ(bind_error(shape, add("model.layers.2.self_attn.q_proj.weight")), "");
  EXPECT_EQ(bind_error(shape, add("model.mtp.0.norm.weight")), "");
  for (const char* name : {"model.layers.1.self_attn.q_proj.bias", "model.layers.x.y", "model.layers.", "",
                           "model.layers.2", "lm_head.weight_scale_inv"})
    EXPECT_THAT(bind_error(shape, add(name)), HasSubstr("1 unknown")) << name;
}

TEST(BindTensors, UnquantisedLinearsMayStandInAnFp8Checkpoint) {
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  const auto unquantise = [&](std::vector<HeaderEntry>& entries) {
    entry_of(entries, name).dtype = DType::kBf16;
    std::erase_if(entries, [&](const HeaderEntry& entry) { return entry.name == name + "_scale_inv"; });
  };
  EXPECT_EQ(bind_error(small_test_shape(), unquantise), "");
  EXPECT_THAT(bind_error(small_test_shape(), [&](auto& e) { entry_of(e, name).dtype = DType::kBf16; }),
              HasSubstr("1 unknown: \"model.layers.0.self_attn.o_proj.weight_scale_inv\""));
}

TEST(BindTensors, Fp8NeedsAQuantisationConfig) {
  ModelShape shape = small_test_shape();
  shape.fp8_block_rows = shape.fp8_block_cols = 0;
  EXPECT_EQ(bind_error(shape, [](auto&) {}), "");
  EXPECT_THAT(
      bind_error(shape, [](auto& e) { entry_of(e, std::string(kUp) + ".weight").dtype = DType::kE4m3; }),
      HasSubstr("config.json has no quantization_config"));
  EXPECT_EQ(bind_error(shape, [](auto& e) { entry_of(e, std::string(kUp) + ".weight").dtype = DType::kF16; }),
            "");
}

TEST(BindTensors, TiedEmbeddingsAreTheHead) {
  SynthOptions options{.shape = small_test_shape()};
  options.shape.tied_embeddings = true;
  const TestCheckpoint made(options);
  EXPECT_EQ(made.view().head.data, made.view().embedding.data);
  EXPECT_EQ(made.checkpoint().find("lm_head.weight"), nullptr);
}

TEST(BindTensors, WithoutRoutingBiasThereIsNone) {
  SynthOptions options{.shape = small_test_shape()};
  options.shape.routing_bias = false;
  const TestCheckpoint made(options);
  EXPECT_EQ(made.view().layers[0].router_bias.data, nullptr);
}

TEST(Widen, IsExactForEveryDtypeAtAnyAddress) {
  std::vector<std::byte> bytes(1 + 4 * 3);
  const auto view = [&](DType dtype) {
    TensorView tensor;
    tensor.dtype = dtype;
    tensor.shape = {3};
    tensor.data = bytes.data() + 1;  // unaligned
    tensor.bytes = 3 * bytes_of(dtype);
    return tensor;
  };
  float out[3] = {};
  const float floats[3] = {1.5f, -0.1f, 3e38f};
  std::memcpy(bytes.data() + 1, floats, sizeof(floats));
  widen(view(DType::kF32), 1, 2, out);
  EXPECT_EQ(out[0], -0.1f);
  EXPECT_EQ(out[1], 3e38f);
  const uint16_t bf16[3] = {float_to_bf16(1.0f), float_to_bf16(-2.5f), 0x0001};
  std::memcpy(bytes.data() + 1, bf16, sizeof(bf16));
  widen(view(DType::kBf16), 0, 3, out);
  EXPECT_EQ(out[1], -2.5f);
  EXPECT_EQ(out[2], 0x1p-133f);
  const uint16_t fp16[3] = {0x3C00, 0xC100, 0x0001};
  std::memcpy(bytes.data() + 1, fp16, sizeof(fp16));
  widen(view(DType::kF16), 0, 3, out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -2.5f);
  EXPECT_EQ(out[2], 0x1p-24f);
}

void expect_alike(const TensorView& described, const TensorView& bound) {
  EXPECT_EQ(described.name, bound.name);
  EXPECT_EQ(described.dtype, bound.dtype) << bound.name;
  EXPECT_EQ(described.shape, bound.shape) << bound.name;
  EXPECT_EQ(described.data, nullptr);
}

TEST(DescribedModel, HasTheViewsOfAPublishedCheckpointWithoutData) {
  const TestCheckpoint checkpoint(small_test_shape());
  const ModelView& bound = checkpoint.view();
  const DescribedModel model(small_test_shape());
  const ModelView& described = model.view();
  EXPECT_EQ(described.shape, bound.shape);
  expect_alike(described.embedding, bound.embedding);
  expect_alike(described.final_norm, bound.final_norm);
  expect_alike(described.head, bound.head);
  ASSERT_EQ(described.layers.size(), bound.layers.size());
  for (size_t n = 0; n < bound.layers.size(); ++n) {
    const LayerView &a = described.layers[n], &b = bound.layers[n];
    for (const auto member : {&LayerView::attn_norm, &LayerView::q_norm, &LayerView::k_norm,
                              &LayerView::mlp_norm, &LayerView::router, &LayerView::router_bias})
      expect_alike(a.*member, b.*member);
    std::vector<std::pair<LinearView, LinearView>> linears = {{a.q, b.q}, {a.k, b.k}, {a.v, b.v}, {a.o, b.o}};
    ASSERT_EQ(a.experts.size(), b.experts.size());
    for (size_t e = 0; e < b.experts.size(); ++e)
      for (const auto member : {&ExpertView::gate, &ExpertView::up, &ExpertView::down})
        linears.emplace_back(a.experts[e].*member, b.experts[e].*member);
    for (const auto& [own, other] : linears) {
      expect_alike(own.weight, other.weight);
      EXPECT_EQ(own.quantised, other.quantised);
      expect_alike(own.scale_inv, other.scale_inv);
    }
  }
}

}  // namespace
}  // namespace minimax::model
