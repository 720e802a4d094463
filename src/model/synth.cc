#include "model/synth.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"
#include "model/json_file.h"
#include "model/safetensors.h"
#include "model/synth_values.h"

namespace minimax::model {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kChunkBytes = 4u << 20;  // what one thread makes and writes at a time
constexpr int32_t kThreadsMax = 1024;
constexpr size_t kFilesMax = 99'999;  // five digits in a shard's name

struct PlannedFile {
  std::string name;
  std::vector<size_t> tensors;  // into Plan::tensors, in file order
  uint64_t bytes = 0;           // of tensors
  uint64_t data_begin = 0;
};

struct Plan {
  std::vector<SynthTensor> tensors;
  std::vector<PlannedFile> files;
  uint64_t bytes = 0;
};

// Tensors in table order fill files up to the limit; inside a file the widest dtypes come first, then names
// decide, as the format's own library lays them out: every tensor is aligned to its elements.
Plan plan_files(const SynthOptions& options, const ParallelLayout& layout) {
  Plan plan;
  for (const TensorSpec& spec : tensor_table(options.shape)) {
    plan.tensors.push_back(make_synth_tensor(spec, options.shape, layout, options.rank));
    const uint64_t bytes = plan.tensors.back().bytes;
    if (plan.files.empty() ||
        (plan.files.back().bytes > 0 && plan.files.back().bytes + bytes > options.file_bytes_max))
      plan.files.emplace_back();
    plan.files.back().tensors.push_back(plan.tensors.size() - 1);
    plan.files.back().bytes += bytes;
    plan.bytes += bytes;
  }
  if (plan.files.size() > kFilesMax)
    throw Error("The checkpoint would have {} shards, more than {}: allow larger ones.", plan.files.size(),
                kFilesMax);
  for (size_t i = 0; i < plan.files.size(); ++i) {
    PlannedFile& file = plan.files[i];
    file.name = plan.files.size() == 1
                    ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, plan.files.size());
    std::sort(file.tensors.begin(), file.tensors.end(), [&](size_t a, size_t b) {
      const TensorSpec& left = plan.tensors[a].spec;
      const TensorSpec& right = plan.tensors[b].spec;
      const size_t left_width = bytes_of(left.dtype), right_width = bytes_of(right.dtype);
      return left_width != right_width ? left_width > right_width : left.name < right.name;
    });
  }
  return plan;
}

// An open file, written by position; errors name it.
class OutFile {
 public:
  OutFile(const fs::path& path, int flags)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0644)) {
    if (fd_ < 0) fail("opened");
  }
  ~OutFile() { ::close(fd_); }
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;

  void write_at(uint64_t offset, const void* data, size_t bytes) {
    const char* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::pwrite(fd_, from, bytes, static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("written");
      from += written;
      offset += static_cast<uint64_t>(written);
      bytes -= static_cast<size_t>(written);
    }
  }
  void resize(uint64_t bytes) {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail("made as large as needed");
  }

 private:
  [[noreturn]] void fail(const char* what) {
    throw Error("{}: cannot be {}: {}.", path_.string(), what, std::strerror(errno));
  }
  fs::path path_;
  int fd_;
};

void write_text(const fs::path& path, const std::string& text) {
  OutFile file(path, O_CREAT | O_TRUNC);
  file.write_at(0, text.data(), text.size());
}

// Hands out pieces of at most kChunkBytes that lie side by side in one file, in order.
class Cursor {
 public:
  struct Piece {
    size_t tensor = 0;
    int64_t begin = 0;
    int64_t count = 0;
  };
  struct Chunk {
    size_t file = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    std::vector<Piece> pieces;
  };

  explicit Cursor(const Plan& plan) : plan_(plan) {}

  // False at the end. The chunk's memory is reused.
  bool next(Chunk& chunk) {
    const std::lock_guard lock(mutex_);
    chunk.pieces.clear();
    chunk.bytes = 0;
    while (file_ < plan_.files.size() && place_ == plan_.files[file_].tensors.size()) {
      ++file_;
      place_ = 0;
      done_in_file_ = 0;
    }
    if (file_ == plan_.files.size()) return false;
    const PlannedFile& file = plan_.files[file_];
    chunk.file = file_;
    chunk.offset = file.data_begin + done_in_file_;
    while (place_ < file.tensors.size() && chunk.bytes < kChunkBytes) {
      const size_t idx = file.tensors[place_];
      const uint64_t width = bytes_of(plan_.tensors[idx].spec.dtype);
      const auto elements = static_cast<int64_t>(plan_.tensors[idx].bytes / width);
      const auto room = static_cast<int64_t>((kChunkBytes - chunk.bytes) / width);
      if (room == 0) break;
      const int64_t count = std::min(room, elements - element_);
      chunk.pieces.push_back({idx, element_, count});
      chunk.bytes += static_cast<uint64_t>(count) * width;
      element_ += count;
      if (element_ < elements) break;
      element_ = 0;
      ++place_;
    }
    done_in_file_ += chunk.bytes;
    return true;
  }

 private:
  const Plan& plan_;
  std::mutex mutex_;
  size_t file_ = 0;
  size_t place_ = 0;  // into the file's tensors
  int64_t element_ = 0;
  uint64_t done_in_file_ = 0;
};

void write_headers(Plan& plan, const fs::path& dir) {
  for (PlannedFile& file : plan.files) {
    std::vector<HeaderEntry> entries;
    for (const size_t idx : file.tensors) {
      const SynthTensor& tensor = plan.tensors[idx];
      entries.push_back({tensor.spec.name, tensor.spec.dtype, tensor.shape, 0, tensor.bytes});
    }
    const std::string header = safetensors_header(entries);
    file.data_begin = header.size();
    OutFile out(dir / file.name, O_CREAT | O_TRUNC);
    out.resize(file.data_begin + file.bytes);
    out.write_at(0, header.data(), header.size());
  }
}

void write_tensors(const Plan& plan, const SynthOptions& options, const fs::path& dir) {
  const SynthValues values(options.shape, options.seed);
  Cursor cursor(plan);
  std::mutex mutex;  // guards error, done and the callback
  std::exception_ptr error;
  uint64_t done = 0;
  std::atomic<bool> stop = false;
  const auto work = [&] {
    try {
      std::vector<std::byte> buffer(kChunkBytes);
      Cursor::Chunk chunk;
      while (!stop && cursor.next(chunk)) {
        std::byte* at = buffer.data();
        for (const Cursor::Piece& piece : chunk.pieces) {
          const SynthTensor& tensor = plan.tensors[piece.tensor];
          values.fill(tensor, piece.begin, piece.count, at);
          at += static_cast<size_t>(piece.count) * bytes_of(tensor.spec.dtype);
        }
        OutFile(dir / plan.files[chunk.file].name, 0).write_at(chunk.offset, buffer.data(), chunk.bytes);
        const std::lock_guard lock(mutex);
        done += chunk.bytes;
        if (options.progress) options.progress(done, plan.bytes);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stop = true;
    }
  };
  const auto cores = static_cast<int32_t>(std::thread::hardware_concurrency());
  const int32_t count = std::clamp(options.threads > 0 ? options.threads : cores, 1, kThreadsMax);
  {
    std::vector<std::jthread> threads;  // joined at the end of the block, whatever happens
    for (int32_t i = 1; i < count; ++i) threads.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

void write_index(const Plan& plan, const fs::path& dir) {
  std::vector<std::pair<std::string, std::string>> file_of_name;
  for (const PlannedFile& file : plan.files) {
    for (const size_t idx : file.tensors) file_of_name.emplace_back(plan.tensors[idx].spec.name, file.name);
  }
  std::sort(file_of_name.begin(), file_of_name.end());
  Json::Object map;
  for (auto& [name, file] : file_of_name) map.emplace_back(std::move(name), Json(std::move(file)));
  const Json index = Json::object(
      {{"metadata", Json::object({{"total_size", Json(plan.bytes)}})}, {"weight_map", Json(std::move(map))}});
  write_text(dir / "model.safetensors.index.json", to_string(index, {",", ": ", 2}) + "\n");
}

// Ids that the tokenizer knows, and whether they all fit the vocabulary of the shape.
void adopt_tokenizer(const SynthOptions& options, int32_t vocab_rows, ModelConfig& config) {
  const Json tokenizer = read_json_object(options.tokenizer_json);
  const std::string file = options.tokenizer_json.string();
  const auto check = [&](std::string_view token, int64_t id) {
    if (id < 0 || id >= vocab_rows)
      throw Error("{}: token {} has id {}, beyond the model's {} vocabulary rows.", file, quote_name(token),
                  id, vocab_rows);
  };
  const Json* inner = tokenizer.find("model");
  const Json* vocab = inner != nullptr ? inner->find("vocab") : nullptr;
  if (vocab == nullptr || !vocab->is_object())
    throw Error("{}: expected an object \"model.vocab\", found none.", file);
  for (const auto& [token, id] : vocab->as_object()) check(token, id.is_int64() ? id.as_int64() : -1);
  const Json* added = tokenizer.find("added_tokens");
  if (added == nullptr || !added->is_array()) return;
  for (const Json& entry : added->as_array()) {
    const Json* content = entry.find("content");
    const Json* id = entry.find("id");
    if (content == nullptr || !content->is_string() || id == nullptr || !id->is_int64())
      throw Error("{}: expected \"content\" and \"id\" in every added token.", file);
    check(content->as_string(), id->as_int64());
    const auto value = static_cast<int32_t>(id->as_int64());
    if (content->as_string() == "[e~[" && options.eos_ids.empty()) config.eos_ids = {value};
    if (content->as_string() == "]~b]" && !options.bos_id) config.bos_id = value;
  }
}

void copy_tokenizer(const fs::path& tokenizer_json, const fs::path& dir) {
  write_text(dir / "tokenizer.json", read_text_file(tokenizer_json));
  for (const char* name : {"tokenizer_config.json", "chat_template.jinja"}) {
    const fs::path beside = tokenizer_json.parent_path() / name;
    if (fs::exists(beside)) write_text(dir / name, read_text_file(beside));
  }
}

Json generation_config_json(const ModelConfig& config) {
  Json out = Json::object();
  if (config.bos_id) out.set("bos_token_id", *config.bos_id);
  out.set("do_sample", true);
  if (config.eos_ids.size() == 1) out.set("eos_token_id", config.eos_ids[0]);
  if (config.eos_ids.size() > 1)
    out.set("eos_token_id", Json::Array(config.eos_ids.begin(), config.eos_ids.end()));
  out.set("temperature", 1.0);
  out.set("top_k", 40);
  out.set("top_p", 0.95);
  return out;
}

void check_folder(const fs::path& dir, uint64_t bytes) {
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().filename() == "config.json" || entry.path().extension() == ".safetensors")
      throw Error("{}: already holds {}: expected a folder without a model.", dir.string(),
                  entry.path().filename().string());
  }
  std::error_code code;
  const fs::space_info space = fs::space(dir, code);
  if (!code && space.available < bytes)
    throw Error("{}: {} bytes are free, but the checkpoint needs {}.", dir.string(), space.available, bytes);
}

}  // namespace

ModelShape small_test_shape() {
  ModelShape shape;
  shape.hidden = 256;
  shape.layers = 2;
  shape.q_heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 128;
  shape.rotary_dim = 64;
  shape.rope_theta = 10000;
  shape.experts = 8;
  shape.experts_per_token = 2;
  shape.expert_width = 128;
  shape.routing_bias = true;
  shape.qk_norm = true;
  shape.rms_eps = 1e-6;
  shape.vocab_rows = 512;
  shape.context_tokens_max = 4096;
  shape.fp8_block_rows = 128;
  shape.fp8_block_cols = 128;
  return shape;
}

ModelShape m2_shape() {
  ModelShape shape = small_test_shape();
  shape.hidden = 3072;
  shape.layers = 62;
  shape.q_heads = 48;
  shape.kv_heads = 8;
  shape.rope_theta = 5e6;
  shape.experts = 256;
  shape.experts_per_token = 8;
  shape.expert_width = 1536;
  shape.vocab_rows = 200064;
  shape.context_tokens_max = 196608;
  return shape;
}

SynthReport synthesise(const SynthOptions& options, const fs::path& dir) {
  ParallelLayout layout;
  layout.tp = options.tp;
  ModelConfig config;
  config.model_type = "minimax_m2";
  config.shape = options.shape;
  config.eos_ids = options.eos_ids;
  config.bos_id = options.bos_id;
  // The same rules as for a checkpoint that is read.
  (void)parse_config(to_config_json(config), "the shape asked for");
  check_layout(options.shape, layout);
  if (options.rank < 0 || options.rank >= options.tp)
    throw Error("Rank {} is not one of {} tensor parallel ranks.", options.rank, options.tp);
  config.shape = shape_of_rank(options.shape, layout, options.rank);
  if (!options.tokenizer_json.empty()) adopt_tokenizer(options, config.shape.vocab_rows, config);

  Plan plan = plan_files(options, layout);
  std::error_code code;
  fs::create_directories(dir, code);
  if (code) throw Error("{}: cannot be made: {}.", dir.string(), code.message());
  check_folder(dir, plan.bytes);
  write_headers(plan, dir);
  write_tensors(plan, options, dir);
  if (plan.files.size() > 1) write_index(plan, dir);
  if (!options.tokenizer_json.empty()) copy_tokenizer(options.tokenizer_json, dir);
  constexpr JsonStyle kStyle{",", ": ", 2};
  write_text(dir / "generation_config.json", to_string(generation_config_json(config), kStyle) + "\n");
  write_text(dir / "config.json", to_string(to_config_json(config), kStyle) + "\n");
  return {plan.bytes, static_cast<int64_t>(plan.tensors.size()), static_cast<int32_t>(plan.files.size())};
}

}  // namespace minimax::model
