// minimax VERB ...: finds the verb, runs it, turns errors into one sentence and an exit code.
// Exit codes: 0 done, 1 the work failed, 2 the command line cannot be obeyed.

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/verbs.h"

namespace {

constexpr const char* kVersion = MINIMAX_VERSION;

void print_overview(std::FILE* out) {
  fmt::print(out,
             "minimax {}: an inference server for the MiniMax-M2 family\n\nusage: minimax VERB [flags]\n\n",
             kVersion);
  for (const auto& entry : minimax::cli::all_verbs()) {
    const std::string_view summary = entry.table().summary;
    fmt::print(out, "  {:<12}{}\n", entry.name, summary.substr(0, summary.find('.') + 1));
  }
  fmt::print(out, "\nminimax VERB --help lists the flags of a verb.\n");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace minimax;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) {
    print_overview(stderr);
    return 2;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_overview(stdout);
    return 0;
  }
  if (words[0] == "--version" || words[0] == "-V") {
    fmt::print("minimax {}\n", kVersion);
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& entry : cli::all_verbs()) {
    names.emplace_back(entry.name);
    if (words[0] != entry.name) continue;
    try {
      const int code = entry.run({words.begin() + 1, words.end()}, cli::read_environment());
      // A full disk must not pass for success.
      if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        throw Error("standard output cannot be written: {}", std::strerror(errno));
      }
      return code;
    } catch (const UsageError& error) {
      fmt::print(stderr, "minimax {}: {}\nminimax {} --help lists the flags.\n", entry.name, error.what(),
                 entry.name);
      return 2;
    } catch (const Interrupted& error) {
      fmt::print(stderr, "minimax {}: {}\n", entry.name, error.what());
      return 130;
    } catch (const std::exception& error) {
      fmt::print(stderr, "minimax {}: {}\n", entry.name, error.what());
      return 1;
    }
  }
  const std::string near = cli::nearest(words[0], names);
  fmt::print(
      stderr, "minimax: unknown verb {}; {}\n", words[0],
      near.empty() ? fmt::format("there are: {}", fmt::join(names, ", ")) : "did you mean " + near + "?");
  return 2;
}
