// Runs a forward and writes every tap (model/taps.h) to a .safetensors file: the other side of
// tools/compare_taps.py.
//
//   taps_dump MODEL --out FILE [--backend ref] [--isa avx2] [--arithmetic w8a8] --ids 1,2,3
//   taps_dump MODEL --out FILE [--backend ref] [--isa avx2] [--arithmetic w8a8] --inputs FILE
//
// --backend: ref or cpu; --isa is for cpu. --kv-dtype fp8: the KV cache in fp8 (not for cuda).
// --ids: the whole model on one sequence. --inputs: single parts, each on the hidden states given for it:
// tensors F32 [rows, hidden] named "layers.N.input" (that layer alone, positions from 0) and "head.input"
// (final norm and head). With "layers.N.k_past" and "layers.N.v_past", F32 [positions, kv_width] of bf16
// values, that layer's rows follow on so many positions, whose K and V these are (not for cuda).

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "backend/common/arithmetic.h"
#include "backend/common/fp8_kv.h"
#include "backend/cpu/forward.h"
#ifdef MINIMAX_CUDA
#include "backend/cuda/forward.h"
#endif
#include "backend/ref/forward.h"
#include "base/check.h"
#include "base/error.h"
#include "base/float_types.h"
#include "base/log.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "model/taps.h"
#include "model/tensors.h"

namespace {

using namespace minimax;

struct Options {
  std::string model, out, backend = "ref", isa, arithmetic = "w8a8", ids, inputs;
  std::string kv_dtype = "bfloat16";
};

Options parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, std::string*> flags = {{"--out", &options.out},
                                                          {"--backend", &options.backend},
                                                          {"--arithmetic", &options.arithmetic},
                                                          {"--ids", &options.ids},
                                                          {"--isa", &options.isa},
                                                          {"--inputs", &options.inputs},
                                                          {"--kv-dtype", &options.kv_dtype}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (const auto flag = flags.find(word); flag != flags.end()) {
      if (++i == argc) throw UsageError("{}: expected a value", word);
      *flag->second = argv[i];
    } else if (word.starts_with("-") || !options.model.empty()) {
      throw UsageError("taps_dump: unexpected argument \"{}\"", word);
    } else {
      options.model = word;
    }
  }
  if (options.model.empty() || options.out.empty() || options.ids.empty() == options.inputs.empty())
    throw UsageError("taps_dump: expected MODEL, --out FILE and either --ids or --inputs");
  return options;
}

std::vector<executor::TokenId> parse_ids(const std::string& text, int32_t vocab_rows) {
  std::vector<executor::TokenId> ids;
  for (const char *at = text.data(), *end = at + text.size(); at < end; ++at) {
    executor::TokenId id = -1;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || id >= vocab_rows || (next != end && *next != ','))
      throw UsageError("--ids: expected ids below {} with commas between, found \"{}\"", vocab_rows, text);
    ids.push_back(id);
    at = next;
  }
  return ids;
}

// What to run: a whole sequence, or parts by themselves.
struct Work {
  std::vector<executor::TokenId> ids;
  std::map<int32_t, std::vector<float>> layer_inputs;    // [rows, hidden] each
  std::map<int32_t, std::vector<float>> k_past, v_past;  // [positions, kv_width] each
  std::vector<float> head_input;

  // Positions before the rows of a layer.
  int32_t past_of(int32_t layer, const model::ModelShape& shape) const {
    const auto k = k_past.find(layer);
    return k == k_past.end() ? 0 : static_cast<int32_t>(std::ssize(k->second) / shape.kv_width());
  }
};

Work read_inputs(const std::string& path, const model::ModelShape& shape) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw Error("{}: cannot be read", path);
  Work work;
  for (const model::HeaderEntry& entry :
       model::parse_safetensors_header(std::as_bytes(std::span(bytes)), path)) {
    const bool past = entry.name.ends_with("_past");
    const int64_t width = past ? shape.kv_width() : shape.hidden;
    if (entry.dtype != model::DType::kF32 || entry.shape.size() != 2 || entry.shape[1] != width)
      throw Error("{}: {}: expected F32 [rows, {}]", path, entry.name, width);
    std::vector<float> values(entry.bytes / sizeof(float));
    std::memcpy(values.data(), bytes.data() + entry.begin, entry.bytes);
    int32_t layer = -1;
    if (entry.name == "head.input") {
      work.head_input = std::move(values);
      continue;
    }
    char part[8] = "";
    if (std::sscanf(entry.name.c_str(), "layers.%d.%7s", &layer, part) != 2 || layer < 0 ||
        layer >= shape.layers)
      part[0] = '\0';
    const std::string_view kind = part;
    if (kind == "input") {
      work.layer_inputs[layer] = std::move(values);
    } else if (kind == "k_past") {
      work.k_past[layer] = std::move(values);
    } else if (kind == "v_past") {
      work.v_past[layer] = std::move(values);
    } else {
      throw Error("{}: expected head.input or layers.N.input, k_past or v_past with N below {}, found {}",
                  path, shape.layers, model::quote_name(entry.name));
    }
  }
  for (const auto& [layer, k] : work.k_past) {
    if (work.v_past[layer].size() != k.size())
      throw Error("{}: layers.{}: expected k_past and v_past of one shape", path, layer);
  }
  return work;
}

class Recorder : public model::TapSink {
 public:
  void tap(std::string_view name, int32_t layer, int64_t rows, int64_t width, const float* values) override {
    const std::string full_name = layer < 0 ? std::string(name) : fmt::format("layers.{}.{}", layer, name);
    const auto* bytes = reinterpret_cast<const char*>(values);
    const auto size = static_cast<uint64_t>(rows * width) * sizeof(float);
    data_.insert(data_.end(), bytes, bytes + size);
    // A forward may show a tap in runs of rows, one after the other.
    if (entries_.empty() || entries_.back().name != full_name)
      entries_.push_back({full_name, model::DType::kF32, {0, width}, 0, 0});
    CHECK_EQ(entries_.back().shape[1], width);
    entries_.back().shape[0] += rows;
    entries_.back().bytes += size;
  }

  void write(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file << model::safetensors_header(entries_);
    file.write(data_.data(), static_cast<std::streamsize>(data_.size()));
    if (!file.flush()) throw Error("{}: cannot be written", path);
  }

 private:
  std::vector<model::HeaderEntry> entries_;
  std::vector<char> data_;
};

// The function that is computed.
struct Numerics {
  backend::common::Arithmetic arithmetic;
  model::KvDtype kv_dtype;
};

void run_ref(const model::ModelView& model, const Numerics& numerics, const Work& work,
             model::TapSink& sink) {
  namespace ref = backend::ref;
  const ref::Forward forward(model, numerics.arithmetic, &sink);
  const std::vector<executor::BlockId> table = {0};  // one block holds the whole sequence
  const auto places = [&](size_t rows, int32_t first = 0) {
    std::vector<ref::RowPlace> result;
    for (size_t row = 0; row < rows; ++row) result.push_back({first + static_cast<int32_t>(row), table});
    return result;
  };
  if (!work.ids.empty()) {
    ref::KvCache kv(model.shape, static_cast<int32_t>(work.ids.size()), 1, numerics.kv_dtype);
    forward.head(forward.run(work.ids, places(work.ids.size()), kv));
  }
  for (const auto& [layer, input] : work.layer_inputs) {
    const size_t rows = input.size() / static_cast<size_t>(model.shape.hidden);
    const int32_t past = work.past_of(layer, model.shape);
    ref::KvCache kv(model.shape, past + static_cast<int32_t>(rows), 1, numerics.kv_dtype);
    if (past > 0)
      ref::write_kv(work.k_past.at(layer), work.v_past.at(layer), places(static_cast<size_t>(past)),
                    kv.layer(layer));
    forward.layer(layer, input, places(rows, past), kv.layer(layer));
  }
  if (!work.head_input.empty()) forward.head(work.head_input);
}

// One sequence on backend/cpu.
class CpuRun {
 public:
  CpuRun(const model::ModelView& model, const Numerics& numerics, backend::cpu::Isa isa, int32_t rows_max,
         int32_t positions_max, model::TapSink& sink)
      : shape_(model.shape),
        weights_(model, numerics.arithmetic, threads_),
        kv_(model.shape, kBlockTokens, positions_max / kBlockTokens + 1, numerics.kv_dtype),
        forward_({weights_, kv_, backend::cpu::kernels_of(isa), threads_}, rows_max, positions_max) {
    for (executor::BlockId block = 0; block < kv_.block_count(); ++block) table_.push_back(block);
    sequence_.block_count = kv_.block_count();
    forward_.set_taps(&sink);
  }

  void whole(const std::vector<executor::TokenId>& ids) {
    forward_.run(step_of(ids));
    head();
  }
  // Behind past [positions, kv_width] of K and of V.
  void layer(int32_t n, const std::vector<float>& input, const std::vector<float>& k_past,
             const std::vector<float>& v_past) {
    const auto width = static_cast<size_t>(shape_.kv_width());
    std::vector<uint16_t> k(width), v(width);
    int32_t position = 0;
    for (size_t at = 0; at < k_past.size(); at += width, ++position) {
      for (size_t i = 0; i < width; ++i) {
        k[i] = float_to_bf16(k_past[at + i]);
        v[i] = float_to_bf16(v_past[at + i]);
      }
      kv_.write(n, table_[static_cast<size_t>(position / kBlockTokens)], position % kBlockTokens, k.data(),
                v.data());
    }
    sequence_.first_position = position;
    feed(input);
    forward_.layer(n);
    sequence_.first_position = 0;
  }
  void head_of(const std::vector<float>& input) {
    feed(input);
    head();
  }

 private:
  static constexpr int32_t kBlockTokens = 16;

  backend::cpu::StepRows step_of(const std::vector<executor::TokenId>& ids) {
    ids_ = ids;
    sequence_.row_count = static_cast<int32_t>(ids.size());
    return {ids_, std::span(&sequence_, 1), table_};
  }
  // Prepares a step whose hidden states are `input` [rows, hidden].
  void feed(const std::vector<float>& input) {
    const auto hidden = static_cast<size_t>(shape_.hidden);
    forward_.prepare(step_of(std::vector<executor::TokenId>(input.size() / hidden, 0)));
    for (size_t i = 0; i < input.size(); ++i)
      forward_.hidden(static_cast<int32_t>(i / hidden))[i % hidden] = float_to_bf16(input[i]);
  }
  void head() {
    std::vector<int32_t> rows(ids_.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> logits(rows.size() * static_cast<size_t>(shape_.vocab_rows));
    forward_.logits(rows, shape_.vocab_rows, logits.data(), shape_.vocab_rows);
  }

  const model::ModelShape& shape_;
  backend::cpu::ThreadPool threads_{2};
  backend::cpu::Weights weights_;
  backend::cpu::KvPool kv_;
  backend::cpu::Forward forward_;
  std::vector<executor::BlockId> table_;
  executor::SequenceRows sequence_;
  std::vector<executor::TokenId> ids_;
};

void run_cpu(const model::ModelView& model, const Numerics& numerics, backend::cpu::Isa isa, const Work& work,
             model::TapSink& sink) {
  const auto hidden = static_cast<size_t>(model.shape.hidden);
  size_t rows_max = std::max(work.ids.size(), work.head_input.size() / hidden);
  for (const auto& [layer, input] : work.layer_inputs) rows_max = std::max(rows_max, input.size() / hidden);
  int32_t past_max = 0;
  for (const auto& [layer, input] : work.layer_inputs)
    past_max = std::max(past_max, work.past_of(layer, model.shape));
  const auto rows = static_cast<int32_t>(rows_max);
  CpuRun cpu(model, numerics, isa, rows, past_max + rows, sink);
  const std::vector<float> none;
  if (!work.ids.empty()) cpu.whole(work.ids);
  if (!work.head_input.empty()) cpu.head_of(work.head_input);  // before the layers: its taps belong to none
  for (const auto& [layer, input] : work.layer_inputs) {
    const bool past = work.k_past.contains(layer);
    cpu.layer(layer, input, past ? work.k_past.at(layer) : none, past ? work.v_past.at(layer) : none);
  }
}

#ifdef MINIMAX_CUDA
// One sequence on backend/cuda.
void run_cuda(const model::ModelView& model, const Numerics& numerics, const Work& work,
              model::TapSink& sink) {
  namespace cuda = backend::cuda;
  if (!work.k_past.empty()) throw UsageError("--backend cuda: positions before the rows are not supported");
  constexpr int32_t kBlockTokens = 16;
  const auto hidden = static_cast<size_t>(model.shape.hidden);
  size_t rows_max = std::max(work.ids.size(), work.head_input.size() / hidden);
  for (const auto& [layer, input] : work.layer_inputs) rows_max = std::max(rows_max, input.size() / hidden);
  const auto rows = static_cast<int32_t>(rows_max);

  cuda::select_device(0);
  const cuda::Stream stream;
  const cuda::Weights weights(model, numerics.arithmetic);
  const cuda::KvPool kv(model.shape, kBlockTokens, rows / kBlockTokens + 1,
                        numerics.kv_dtype == model::KvDtype::kFp8);
  cuda::Forward forward({weights, kv, stream}, {.rows_max = rows,
                                                .expert_rows_max = rows,
                                                .context_tokens_max = rows,
                                                .table_blocks_max = kv.block_count(),
                                                .logit_rows_max = rows});
  forward.set_taps(&sink);
  std::vector<executor::BlockId> table(static_cast<size_t>(kv.block_count()));
  std::iota(table.begin(), table.end(), 0);
  const auto head = [&](size_t count) {
    std::vector<int32_t> all(count);
    std::iota(all.begin(), all.end(), 0);
    forward.logits(all);
    stream.wait();
  };
  const auto start = [&](const std::vector<executor::TokenId>& ids, auto&& then) {
    const executor::SequenceRows sequence{.row_count = static_cast<int32_t>(ids.size()),
                                          .block_count = kv.block_count()};
    then(cuda::StepRows{ids, std::span(&sequence, 1), table});
  };
  const auto feed = [&](const std::vector<float>& input) {
    start(std::vector<executor::TokenId>(input.size() / hidden, 0),
          [&](const cuda::StepRows& step) { forward.prepare(step); });
    std::vector<uint16_t> bits;
    for (const float value : input) bits.push_back(float_to_bf16(value));
    forward.set_hidden(bits);
  };
  if (!work.ids.empty()) {
    start(work.ids, [&](const cuda::StepRows& step) { forward.run(step); });
    head(work.ids.size());
  }
  if (!work.head_input.empty()) {  // before the layers: its taps belong to none
    feed(work.head_input);
    head(work.head_input.size() / hidden);
  }
  for (const auto& [layer, input] : work.layer_inputs) {
    feed(input);
    forward.layer(layer);
    stream.wait();
  }
}
#endif

void run(const Options& options) {
  const model::ModelConfig config = model::load_config(options.model);
  const model::Checkpoint checkpoint = model::Checkpoint::open(options.model);
  const model::ModelView model = model::bind_tensors(checkpoint, config.shape);
  if (options.kv_dtype != "bfloat16" && options.kv_dtype != "fp8")
    throw UsageError("--kv-dtype: expected bfloat16 or fp8, found \"{}\"", options.kv_dtype);
  const Numerics numerics{backend::common::parse_arithmetic(options.arithmetic),
                          options.kv_dtype == "fp8" ? model::KvDtype::kFp8 : model::KvDtype::kBf16};
  Work work;
  if (options.inputs.empty()) {
    work.ids = parse_ids(options.ids, config.shape.vocab_rows);
  } else {
    work = read_inputs(options.inputs, config.shape);
  }
  Recorder recorder;
  if (options.backend == "ref") {
    run_ref(model, numerics, work, recorder);
  } else if (options.backend == "cpu") {
    run_cpu(model, numerics, backend::cpu::choose_isa(options.isa), work, recorder);
#ifdef MINIMAX_CUDA
  } else if (options.backend == "cuda") {
    run_cuda(model, numerics, work, recorder);
#endif
  } else {
    throw UsageError("--backend: expected ref, cpu or, in a build with CUDA, cuda, found \"{}\"",
                     options.backend);
  }
  recorder.write(options.out);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse_options(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
