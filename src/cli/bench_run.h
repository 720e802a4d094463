#pragma once
// A benchmark of a server, prepared once and run once or several times (bench serve, bench sweep).

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/bench_options.h"

namespace minimax::cli {

class ServeBench {
 public:
  // Asks the server for its model if none is named, finds the tokenizer, makes the scripts, waits until the
  // server is ready if that is wanted. Throws Error.
  ServeBench(BenchServeOptions options, const Environment& environment);

  const BenchServeOptions& options() const { return options_; }

  // Warms up and measures, with all requests or a part of them. Prints what is going on to standard error,
  // nothing to standard output.
  struct Outcome {
    bench::ServeResult result;
    bool interrupted = false;
    bool measured = true;  // false: interrupted during the warm-ups, the result is empty
  };
  struct Part {
    int64_t begin = 0, count = 0;  // count 0: all
  };
  Outcome run(int64_t concurrency_max, const bench::ArrivalOptions& arrivals, Part part = {0, 0});

  // 0: all requests succeeded; 1: some did not; 130: interrupted. Prints the distinct errors, and a warning
  // if the client's own times are not to be trusted, to standard error.
  static int report(const Outcome& outcome);

 private:
  void find_model();
  void find_tokenizer(const Environment& environment);
  void make_scripts(const Environment& environment);
  void wait_until_ready();
  bench::LoadResult load(std::span<const bench::Script> scripts, bench::LoadOptions load_options,
                         double stall_timeout_s);

  BenchServeOptions options_;
  net::Url root_;  // of /metrics and /tokenize: without the /v1 of a base URL
  std::unique_ptr<bench::TokenText> text_;
  std::vector<bench::Script> scripts_;
};

// Throws Error if --result-dir/--result-filename (or a default name) cannot be written: before anything is
// measured.
void check_result_place(const BenchServeOptions& options);
// The folder is made if it is missing. Throws Error if nothing can be written into it.
void check_writable(const std::filesystem::path& folder);
// Writes to --result-dir/--result-filename (or the default name), appending if asked for; says where. Throws
// Error if it cannot.
void save_result(const BenchServeOptions& options, const bench::ServeResult& result);

}  // namespace minimax::cli
