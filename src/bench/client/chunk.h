#pragma once
// One event of an OpenAI stream, read for what a benchmark needs of it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bench/client/workload.h"

namespace minimax::bench {

// Keeps the memory of its JSON parser, nothing of a stream: one reads the chunks of all. Content, reasoning,
// tool calls and usage are put into the outcome; times are the caller's business.
class ChunkReader {
 public:
  ChunkReader();
  ~ChunkReader();

  enum class Kind {
    kChoices,  // a chunk with a choice: counts as a moment of the stream
    kOther,    // usage, comments of a server
    kError,    // an error object; outcome.error says what
  };
  // Text that is no JSON is an error too.
  Kind read(std::string_view data, Outcome& outcome);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The sentence in an error body: {"error": {"message": ...}}, {"error": ...}, {"message": ...}, {"detail":
// ...}, or its beginning.
std::string error_sentence(std::string_view body);

}  // namespace minimax::bench
