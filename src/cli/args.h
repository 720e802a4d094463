#pragma once
// Command lines read the way the peer's argparse reads them, from one table per verb: `--flag value`,
// `--flag=value`, unambiguous prefixes, `_` for `-`, `--no-flag`, short forms, and for flags that take JSON
// the dotted form of cli/json_flag.h. A flag that is not in the table is refused with the nearest name. The
// same table makes --help and the shell completion.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace minimax::cli {

enum class FlagKind {
  kDone,      // has its effect
  kAccepted,  // nothing to do here: taken, with one line that says why
  kRefused,   // not offered: one line, exit
};

struct Flag {
  std::string_view name;        // "--tensor-parallel-size"
  std::string_view short_name;  // "-tp", "-O -cc", or empty
  std::string_view group;       // heading in --help
  FlagKind kind = FlagKind::kDone;
  std::string_view metavar;       // "N"; empty: a switch without a value
  std::string_view default_text;  // as --help shows it; empty: none
  std::string_view help;          // what it does, or for the other kinds why there is nothing to do
  bool negatable = false;         // a switch with a --no- form
  bool list = false;              // takes one or more values
};

struct Verb {
  std::string_view name;         // "serve"
  std::string_view positionals;  // "MODEL"
  std::string_view summary;      // one line
  std::span<const Flag> flags;
  size_t positionals_max = 0;
};

// What the user said. Values are not interpreted here.
class Args {
 public:
  bool has(std::string_view name) const { return values_.contains(std::string(name)); }
  // The last value given. REQUIRES: the flag takes a value.
  std::optional<std::string> text(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;
  // A switch: given, negated, or the default.
  bool on(std::string_view name, bool otherwise = false) const;

  // The value as a number; throws UsageError naming the flag, what it takes and what it got. The integer form
  // takes the suffixes of the peer: k, m, g (powers of 1000) and K, M, G (powers of 1024).
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max) const;
  std::optional<double> number(std::string_view name, double min, double max) const;
  std::optional<std::string> choice(std::string_view name, std::span<const std::string_view> choices) const;

  const std::vector<std::string>& positionals() const { return positionals_; }
  // One line for each accepted flag that was given: "--swap-space: ...".
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  friend Args parse_args(const Verb& verb, std::span<const std::string> words);
  std::map<std::string, std::vector<std::string>> values_;  // by full name; switches hold "true" or "false"
  std::vector<std::string> positionals_;
  std::vector<std::string> notes_;
};

// Throws UsageError. Later words win over earlier ones (lists are replaced, not extended).
Args parse_args(const Verb& verb, std::span<const std::string> words);

// --help: groups with defaults, wrapped at `columns`.
std::string help_text(const Verb& verb, size_t columns = 100);

// The known name closest to `word` by edit distance, empty if none is near.
std::string nearest(std::string_view word, std::span<const std::string> names);

// "32k" -> 32000, "32K" -> 32768, "1.5m" -> 1500000; nothing if it is no such number.
std::optional<int64_t> parse_count(std::string_view text);

}  // namespace minimax::cli
