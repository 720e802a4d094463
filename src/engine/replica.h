#pragma once
// One executor with its scheduler and its thread. The engine is one or several of them behind one door.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace minimax::engine {

// What streams are told of a lost executor.
std::string failure_sentence(const std::string& what);

// What is not explained here is as in Engine. Threads: any.
class Replica {
 public:
  // failed(reason): the executor was lost, and all streams of this replica have been told.
  Replica(executor::Executor& executor, const Options& options, Observer* observer,
          std::function<void(const std::string&)> failed);
  ~Replica();  // cancels everything, then joins

  Status check(const Request& request) const;
  Result<std::unique_ptr<Stream>> submit(Request request, std::function<void()> notify);
  void drain();
  void abort(std::string reason);
  void reset_prefix_cache();

  int64_t open() const;  // requests that run or wait
  bool is_full() const;  // as many wait as may
  Stats stats() const;
  int32_t context_tokens_max() const;
  const executor::Limits& limits() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minimax::engine
