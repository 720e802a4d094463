#include "cli/verbs.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "cli/serve_flags.h"

namespace minimax::cli {

std::span<const VerbEntry> all_verbs() {
  static constexpr std::array<VerbEntry, 8> kVerbs{{
      {"serve", serve_verb, run_serve},
      {"chat", chat_verb, run_chat},
      {"render", render_verb, run_render},
      {"parse", parse_verb, run_parse},
      {"inspect", inspect_verb, run_inspect},
      {"synth", synth_verb, run_synth},
      {"bench", bench_verb, run_bench},
      {"completion", completion_verb, run_completion},
  }};
  return kVerbs;
}

std::string read_input(const std::string& file_name, size_t bytes_max) {
  std::ifstream file;
  const bool standard_input = file_name == "-";
  if (!standard_input) {
    file.open(file_name, std::ios::binary);
    if (!file) throw Error("{}: cannot be opened", file_name);
  }
  std::istream& in = standard_input ? std::cin : file;
  std::string text;
  std::array<char, 65536> buffer{};
  while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > bytes_max) throw Error("{}: more than {} bytes", file_name, bytes_max);
  }
  if (in.bad()) throw Error("{}: cannot be read", file_name);
  return text;
}

bool print_help(const Verb& verb, const Args& args) {
  if (!args.has("--help")) return false;
  const std::string text = help_text(verb);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return true;
}

}  // namespace minimax::cli
