#pragma once
// The verbs of minimax. Each reads its own words and returns the exit code; errors are thrown to main.

#include <span>
#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/environment.h"

namespace minimax::cli {

using Words = std::vector<std::string>;

int run_serve(const Words& words, const Environment& environment);
int run_chat(const Words& words, const Environment& environment);
int run_render(const Words& words, const Environment& environment);
int run_parse(const Words& words, const Environment& environment);
int run_inspect(const Words& words, const Environment& environment);
int run_synth(const Words& words, const Environment& environment);
int run_bench(const Words& words, const Environment& environment);
int run_completion(const Words& words, const Environment& environment);

// Tables of the verbs, for --help and the shell completion.
const Verb& chat_verb();
const Verb& render_verb();
const Verb& parse_verb();
const Verb& inspect_verb();
const Verb& synth_verb();
const Verb& bench_verb();
const Verb& completion_verb();

struct VerbEntry {
  std::string_view name;
  const Verb& (*table)();
  int (*run)(const Words& words, const Environment& environment);
};
std::span<const VerbEntry> all_verbs();

// Reads a whole file, or standard input for "-"; throws Error naming it, or its size if beyond the limit.
std::string read_input(const std::string& file_name, size_t bytes_max = size_t{64} << 20);

// Prints --help and returns true if it was asked for.
bool print_help(const Verb& verb, const Args& args);

}  // namespace minimax::cli
