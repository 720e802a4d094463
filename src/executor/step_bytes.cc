#include "executor/step_bytes.h"

#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace minimax::executor {
namespace {

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}

  template <typename T>
  void value(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    append(&value, sizeof(T));
  }
  template <typename T>
  void list(const std::vector<T>& list) {
    static_assert(std::is_trivially_copyable_v<T>);
    value(static_cast<uint64_t>(list.size()));
    append(list.data(), list.size() * sizeof(T));
  }
  template <typename T, typename Visit>
  void each(const std::vector<T>& list, const Visit& visit) {
    value(static_cast<uint64_t>(list.size()));
    for (const T& entry : list) visit(entry);
  }

 private:
  void append(const void* data, size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), from, from + bytes);
  }

  std::vector<std::byte>& out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}

  template <typename T>
  void value(T& value) {
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
  }
  template <typename T>
  void list(std::vector<T>& list) {
    list.resize(count(sizeof(T)));
    const std::byte* from = take(list.size() * sizeof(T));
    if (!list.empty()) std::memcpy(list.data(), from, list.size() * sizeof(T));
  }
  template <typename T, typename Visit>
  void each(std::vector<T>& list, const Visit& visit) {
    list.resize(count(1));
    for (T& entry : list) visit(entry);
  }
  bool at_end() const { return in_.empty(); }

 private:
  // Of entries that take so many bytes at least.
  size_t count(size_t bytes) {
    uint64_t count = 0;
    value(count);
    if (count > in_.size() / bytes) fail();
    return count;
  }
  const std::byte* take(size_t bytes) {
    if (bytes > in_.size()) fail();
    const std::byte* at = in_.data();
    in_ = in_.subspan(bytes);
    return at;
  }
  [[noreturn]] static void fail() {
    throw Error("a step from host 0 ends early: are all hosts of one build?");
  }

  std::span<const std::byte> in_;
};

// What is written and what is read, in one place each.
template <typename Archive, typename Spec>
void spec(Archive& archive, Spec& spec) {
  archive.value(spec.temperature);
  archive.value(spec.top_p);
  archive.value(spec.min_p);
  archive.value(spec.top_k);
  archive.value(spec.repetition_penalty);
  archive.value(spec.frequency_penalty);
  archive.value(spec.presence_penalty);
  archive.value(spec.seed);
  archive.value(spec.sample_idx);
  archive.value(spec.min_tokens);
  archive.list(spec.stop_ids);
  archive.list(spec.logit_bias);
  archive.list(spec.allowed_ids);
  archive.each(spec.bad_words, [&](auto& word) { archive.list(word); });
  archive.value(spec.logprobs);
}

template <typename Archive, typename Batch>
void fields(Archive& archive, Batch& batch) {
  archive.list(batch.slot_closes);
  archive.each(batch.slot_opens, [&](auto& open) {
    archive.value(open.slot);
    archive.list(open.tokens);
    archive.value(open.prompt_tokens);
    spec(archive, open.spec);
  });
  archive.each(batch.slot_forks, [&](auto& fork) {
    archive.value(fork.src);
    archive.value(fork.dst);
    spec(archive, fork.spec);
  });
  archive.list(batch.block_copies);
  archive.list(batch.sequences);
  archive.list(batch.row_tokens);
  archive.list(batch.block_table);
  archive.list(batch.samples);
  archive.list(batch.prompt_scores);
  archive.list(batch.masks);
}

}  // namespace

void to_bytes(const std::vector<TokenId>& drawn, const StepBatch& batch, std::vector<std::byte>& out) {
  out.clear();
  Writer writer(out);
  writer.list(drawn);
  fields(writer, batch);
}

void from_bytes(std::span<const std::byte> bytes, std::vector<TokenId>& drawn, StepBatch& batch) {
  Reader reader(bytes);
  reader.list(drawn);
  fields(reader, batch);
  if (!reader.at_end()) throw Error("a step from host 0 is longer than it says: are all hosts of one build?");
}

}  // namespace minimax::executor
