#include "model/synth.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float_types.h"
#include "model/test_checkpoint.h"

namespace minimax::model {
namespace {

namespace fs = std::filesystem;

std::string bytes_of_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::map<std::string, std::string> files_of(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir))
    files[entry.path().filename().string()] = bytes_of_file(entry.path());
  return files;
}

TEST(Synth, WritesACheckpointThatBinds) {
  const TestCheckpoint made(small_test_shape());
  EXPECT_EQ(made.config().shape, small_test_shape());
  EXPECT_EQ(made.checkpoint().tensors().size(), tensor_table(small_test_shape()).size());
  EXPECT_TRUE(made.view().layers[1].experts[7].down.quantised);
}

TEST(Synth, ThreadsDoNotChangeTheFiles) {
  const TestFolder one, four;
  ModelShape shape = small_test_shape();
  shape.vocab_rows = 20001;  // two embeddings of 10 MB: several chunks
  synthesise({.shape = shape, .seed = 7, .threads = 1}, one.path());
  synthesise({.shape = shape, .seed = 7, .threads = 4}, four.path());
  EXPECT_EQ(files_of(one.path()), files_of(four.path()));
}

TEST(Synth, ShardsHoldTheSameTensorsAsOneFile) {
  const TestCheckpoint single(small_test_shape(), 3);
  SynthOptions options{.shape = small_test_shape(), .seed = 3};
  options.file_bytes_max = 300'000;
  const TestCheckpoint sharded(options);
  EXPECT_GT(sharded.checkpoint().files().size(), 4u);
  EXPECT_TRUE(fs::exists(sharded.dir() / "model.safetensors.index.json"));
  for (const TensorView& view : single.checkpoint().tensors()) {
    const TensorView* other = sharded.checkpoint().find(view.name);
    ASSERT_NE(other, nullptr) << view.name;
    EXPECT_EQ(other->shape, view.shape);
    ASSERT_EQ(other->bytes, view.bytes);
    EXPECT_EQ(std::memcmp(other->data, view.data, view.bytes), 0) << view.name;
    EXPECT_EQ(view.file_offset % bytes_of(view.dtype), 0u) << view.name;
  }
}

TEST(Synth, SeedsDiffer) {
  const TestCheckpoint a(small_test_shape(), 1), b(small_test_shape(), 2);
  EXPECT_NE(bytes_of_file(a.dir() / "model.safetensors"), bytes_of_file(b.dir() / "model.safetensors"));
}

struct Moments {
  double mean = 0, deviation = 0;
};

// Mean and standard deviation of a linear's dequantised weights, widened here by itself.
Moments moments(const LinearView& linear) {
  double sum = 0, squares = 0;
  const int64_t rows = linear.weight.shape[0], cols = linear.weight.shape[1];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      float value = 0;
      if (linear.quantised) {
        float scale = 0;
        widen(linear.scale_inv, row / 128 * linear.scale_inv.shape[1] + col / 128, 1, &scale);
        value = e4m3_to_float(static_cast<uint8_t>(linear.weight.data[row * cols + col])) * scale;
      } else {
        widen(linear.weight, row * cols + col, 1, &value);
      }
      sum += value;
      squares += double{value} * value;
    }
  }
  const auto n = static_cast<double>(rows * cols);
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

TEST(Synth, WeightsKeepActivationsNearOne) {
  for (const bool fp8 : {true, false}) {
    ModelShape shape = small_test_shape();
    if (!fp8) shape.fp8_block_rows = shape.fp8_block_cols = 0;
    const TestCheckpoint made(shape);
    const LayerView& layer = made.view().layers[0];
    const Moments q = moments(layer.q);
    // 131072 draws: the mean's standard error is 0.003 deviations, block scales vary by a quarter.
    EXPECT_NEAR(q.mean * std::sqrt(256.0), 0, 0.02) << fp8;
    EXPECT_NEAR(q.deviation * std::sqrt(256.0), 1, 0.15) << fp8;
    EXPECT_NEAR(moments(layer.experts[0].down).deviation * 0.6 * std::sqrt(4.0 * 128), 1, 0.25) << fp8;
    std::vector<float> norm(256);
    widen(layer.attn_norm, 0, 256, norm.data());
    for (const float weight : norm) EXPECT_NEAR(weight, 1, 0.25);
  }
}

TEST(Synth, RouterSpreadsTheLoad) {
  ModelShape shape = small_test_shape();
  shape.experts = 32;
  shape.experts_per_token = 4;
  const TestCheckpoint made(shape);
  const LayerView& layer = made.view().layers[0];
  std::vector<float> router(32 * 256), bias(32), row(256);
  widen(layer.router, 0, 32 * 256, router.data());
  widen(layer.router_bias, 0, 32, bias.data());
  std::vector<int> load(32);
  for (int64_t id = 0; id < shape.vocab_rows; ++id) {
    widen(made.view().embedding, id * 256, 256, row.data());
    std::vector<std::pair<float, size_t>> scores;
    for (size_t e = 0; e < 32; ++e) {
      float logit = 0;
      for (size_t i = 0; i < 256; ++i) logit += router[e * 256 + i] * row[i];
      scores.emplace_back(1 / (1 + std::exp(-logit)) + bias[e], e);
    }
    std::sort(scores.rbegin(), scores.rend());
    for (size_t k = 0; k < 4; ++k) ++load[scores[k].second];
  }
  // 512 tokens x 4 over 32 experts: 64 each, standard deviation about 8 if even.
  for (const int count : load) {
    EXPECT_GT(count, 64 / 2);
    EXPECT_LT(count, 64 * 2);
  }
}

TEST(Synth, RefusesWhatItCannotWrite) {
  const TestFolder folder;
  SynthOptions options{.shape = small_test_shape()};
  options.shape.kv_heads = 3;
  EXPECT_THROW(synthesise(options, folder.path()), Error);
  options.shape = small_test_shape();
  options.tp = 3;
  EXPECT_THROW(synthesise(options, folder.path()), Error);
  options.tp = 2;
  options.rank = 2;
  EXPECT_THROW(synthesise(options, folder.path()), Error);
  options.rank = 1;
  synthesise(options, folder.path());
  EXPECT_THROW(synthesise(options, folder.path()), Error) << "the folder holds a model already";
}

constexpr const char* kTokenizer = R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 255}},
  "added_tokens": [{"id": 300, "content": "]~b]"}, {"id": 301, "content": "[e~["}]})";

TEST(Synth, TakesATokenizerAlongAndItsIds) {
  const TestFolder source, out;
  std::ofstream(source.path() / "tokenizer.json") << kTokenizer;
  std::ofstream(source.path() / "chat_template.jinja") << "template";
  SynthOptions options{.shape = small_test_shape()};
  options.tokenizer_json = source.path() / "tokenizer.json";
  synthesise(options, out.path());
  EXPECT_EQ(bytes_of_file(out.path() / "tokenizer.json"), kTokenizer);
  EXPECT_EQ(bytes_of_file(out.path() / "chat_template.jinja"), "template");
  EXPECT_FALSE(fs::exists(out.path() / "tokenizer_config.json"));
  const GenerationConfig generation = load_generation_config(out.path());
  EXPECT_EQ(generation.eos_ids, std::vector<int32_t>{301});
  EXPECT_EQ(generation.bos_id, 300);
  EXPECT_EQ(generation.top_k, 40);
}

TEST(Synth, RefusesATokenizerThatDoesNotFit) {
  const TestFolder source;
  SynthOptions options{.shape = small_test_shape()};
  options.tokenizer_json = source.path() / "tokenizer.json";
  const auto refused = [&](const std::string& text) {
    std::ofstream(options.tokenizer_json) << text;
    const TestFolder out;
    EXPECT_THROW(synthesise(options, out.path()), Error) << text;
    EXPECT_FALSE(fs::exists(out.path() / "config.json"));
  };
  EXPECT_THROW(synthesise(options, source.path()), Error) << "no such file";
  refused("{}");
  refused(R"({"model": {"vocab": {"a": 512}}})");
  refused(R"({"model": {"vocab": {"a": "x"}}})");
  refused(R"({"model": {"vocab": {}}, "added_tokens": [{"id": 512, "content": "]~b]"}]})");
  refused(R"({"model": {"vocab": {}}, "added_tokens": [{"content": "]~b]"}]})");
}

TEST(Synth, AFailedWriteIsAnErrorNotACrash) {
  const TestFolder folder;
  SynthOptions options{.shape = small_test_shape(), .threads = 4};
  options.progress = [](uint64_t, uint64_t) { throw Error("enough"); };
  EXPECT_THROW(synthesise(options, folder.path()), Error);
  EXPECT_FALSE(fs::exists(folder.path() / "config.json")) << "an interrupted run does not load";
}

TEST(Synth, ProgressEndsAtTheTotal) {
  const TestFolder folder;
  uint64_t last = 0, total = 0;
  SynthOptions options{.shape = small_test_shape(), .threads = 2};
  options.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
  };
  const SynthReport report = synthesise(options, folder.path());
  EXPECT_EQ(last, total);
  EXPECT_EQ(report.tensor_bytes, total);
}

}  // namespace
}  // namespace minimax::model
