#pragma once
// Errors of start-up and environment: a missing file, a bad checkpoint, a port in use. Thrown, and caught
// only in cli/main.cc, which prints the sentence and exits. Never thrown once the server accepts requests.

#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace minimax {

// The sentence names the file or flag, what was expected and what was found.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& sentence) : std::runtime_error(sentence) {}

  template <typename First, typename... Rest>
  explicit Error(fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)
      : std::runtime_error(fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...)) {}
};

// A command line that cannot be obeyed: same as Error, but main exits with 2 and points to --help.
class UsageError : public Error {
 public:
  using Error::Error;
};

// Ctrl-C before there was anything to tell; main exits with 130, as shells have it.
class Interrupted : public Error {
 public:
  using Error::Error;
};

}  // namespace minimax
