#include "cli/args.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "cli/json_flag.h"

namespace minimax::cli {
namespace {

std::string with_dashes(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

// A word of the command line, resolved against the table.
struct Match {
  const Flag* flag = nullptr;
  bool negated = false;
};

std::vector<std::string> all_names(const Verb& verb) {
  std::vector<std::string> names;
  for (const Flag& flag : verb.flags) {
    names.emplace_back(flag.name);
    if (flag.negatable) names.push_back("--no-" + std::string(flag.name.substr(2)));
  }
  names.emplace_back("--help");
  return names;
}

Match find_long(const Verb& verb, std::string_view word) {
  const std::string name = with_dashes(word);
  std::vector<Match> matches;
  for (const Flag& flag : verb.flags) {
    const std::string negated = flag.negatable ? "--no-" + std::string(flag.name.substr(2)) : std::string();
    if (name == flag.name) return {&flag, false};
    if (name == negated) return {&flag, true};
    if (flag.name.starts_with(name)) matches.push_back({&flag, false});
    if (negated.starts_with(name)) matches.push_back({&flag, true});
  }
  if (matches.size() == 1) return matches.front();
  if (matches.size() > 1) {
    std::string could;
    for (const Match& match : matches) {
      could += (could.empty() ? "" : ", ") + std::string(match.negated ? "--no-" : "--") +
               std::string(match.flag->name.substr(2));
    }
    throw UsageError("{} is ambiguous: it could be {}", word, could);
  }
  const std::string near = nearest(name, all_names(verb));
  throw UsageError("unknown flag {}{}", word, near.empty() ? "" : "; did you mean " + near + "?");
}

// The short forms are separated by a space: "-O -cc".
bool is_short_form(const Flag& flag, std::string_view word) {
  return !word.empty() &&
         (" " + std::string(flag.short_name) + " ").find(" " + std::string(word) + " ") != std::string::npos;
}

// -tp, and -O3: a value glued to a form of one letter, which is then put into `attached`; its dots are no
// path.
Match find_short(const Verb& verb, const std::string& word, std::string_view head,
                 std::optional<std::string>& attached, std::optional<std::string>& path) {
  for (const Flag& flag : verb.flags) {
    if (is_short_form(flag, head)) return {&flag, false};
  }
  for (const Flag& flag : verb.flags) {
    if (flag.metavar.empty() || !is_short_form(flag, word.substr(0, 2))) continue;
    attached = word.substr(2);
    path.reset();
    return {&flag, false};
  }
  throw UsageError("unknown flag {}", word);
}

// A number, of whatever length.
bool is_digits(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Levenshtein's distance.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::vector<std::string_view> words_of(std::string_view name) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find_first_of("-_", at), name.size());
    if (end > at) words.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// --gpu-mem-util: the name in which the most words begin with the given ones, abbreviated or in another
// order. At least half of the given words must be found; of equals, the name of the fewest words.
std::string nearest_by_words(std::string_view word, std::span<const std::string> names) {
  const std::vector<std::string_view> given = words_of(word);
  std::string best;
  size_t best_found = 0, best_words = 0;
  for (const std::string& name : names) {
    const std::vector<std::string_view> own = words_of(name);
    const size_t found = static_cast<size_t>(std::ranges::count_if(given, [&](std::string_view part) {
      return part.size() >= 3 && std::ranges::any_of(own, [&](std::string_view whole) {
               return whole.starts_with(part) || (whole.size() >= 3 && part.starts_with(whole));
             });
    }));
    if (2 * found < given.size() || found < best_found || found == 0) continue;
    if (found == best_found && own.size() >= best_words) continue;
    best = name;
    best_found = found;
    best_words = own.size();
  }
  return best;
}

bool looks_like_flag(const std::string& word) {
  if (word.size() < 2 || word[0] != '-') return false;
  // A negative number is a value (argparse's rule, as no flag here looks like a number).
  return !(word[1] == '.' || (word[1] >= '0' && word[1] <= '9'));
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> names) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t d = edits(word, name);
    if (d < best_distance) {
      best_distance = d;
      best = name;
    }
  }
  return best.empty() ? nearest_by_words(word, names) : best;
}

std::optional<int64_t> parse_count(std::string_view text) {
  double scale = 1;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k':
        scale = 1e3;
        break;
      case 'm':
        scale = 1e6;
        break;
      case 'g':
        scale = 1e9;
        break;
      case 'K':
        scale = 1024.0;
        break;
      case 'M':
        scale = 1024.0 * 1024;
        break;
      case 'G':
        scale = 1024.0 * 1024 * 1024;
        break;
      default:
        break;
    }
  }
  if (scale != 1) {
    text.remove_suffix(1);
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size() || !(std::fabs(value * scale) < 9e18))
      return {};
    return static_cast<int64_t>(std::llround(value * scale));
  }
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Args parse_args(const Verb& verb, std::span<const std::string> words) {
  Args args;
  const auto assign = [&](const Match& match, std::vector<std::string> values) {
    const Flag& flag = *match.flag;
    if (flag.kind == FlagKind::kRefused) throw UsageError("{}: {}", flag.name, flag.help);
    if (flag.kind == FlagKind::kAccepted) {
      const std::string note = std::string(match.negated ? "--no-" : "--") +
                               std::string(flag.name.substr(2)) + ": " + std::string(flag.help);
      if (std::find(args.notes_.begin(), args.notes_.end(), note) == args.notes_.end()) {
        args.notes_.push_back(note);
      }
    }
    args.values_[std::string(flag.name)] = std::move(values);
  };
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      args.positionals_.insert(args.positionals_.end(), words.begin() + static_cast<ptrdiff_t>(i) + 1,
                               words.end());
      break;
    }
    if (word == "--help" || word == "-h") {
      args.values_["--help"] = {"true"};
      continue;
    }
    if (!looks_like_flag(word)) {
      args.positionals_.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    std::string head = word.substr(0, equals);
    std::optional<std::string> attached, path;
    if (equals != std::string::npos) attached = word.substr(equals + 1);
    if (const size_t dot = head.find('.'); dot != std::string::npos) {
      path = head.substr(dot + 1);
      head.resize(dot);
    }
    const Match match = word[1] == '-' ? find_long(verb, head) : find_short(verb, word, head, attached, path);
    const Flag& flag = *match.flag;
    if (path && flag.metavar != "JSON") {
      throw UsageError("{}: {} takes no JSON object, so nothing can follow its dot", word, flag.name);
    }
    if (flag.metavar.empty()) {
      if (attached) throw UsageError("{} takes no value, but got \"{}\"", flag.name, *attached);
      assign(match, {match.negated ? "false" : "true"});
      continue;
    }
    std::vector<std::string> values;
    if (attached) {
      values.push_back(*attached);
    } else {
      while (i + 1 < words.size() && !looks_like_flag(words[i + 1]) && (values.empty() || flag.list)) {
        values.push_back(words[++i]);
      }
      if (values.empty()) throw UsageError("{} needs a value ({})", flag.name, flag.metavar);
    }
    if (path) values = {set_dotted(flag.name, args.text(flag.name), *path, values.back())};
    assign(match, std::move(values));
  }
  if (args.positionals_.size() > verb.positionals_max && !args.has("--help")) {
    throw UsageError("{} takes {}; \"{}\" is one word too many", verb.name,
                     verb.positionals.empty() ? "no argument" : verb.positionals,
                     args.positionals_[verb.positionals_max]);
  }
  return args;
}

std::optional<std::string> Args::text(std::string_view name) const {
  const auto it = values_.find(std::string(name));
  if (it == values_.end()) return {};
  return it->second.back();
}

std::vector<std::string> Args::texts(std::string_view name) const {
  const auto it = values_.find(std::string(name));
  return it == values_.end() ? std::vector<std::string>{} : it->second;
}

bool Args::on(std::string_view name, bool otherwise) const {
  const std::optional<std::string> value = text(name);
  return value ? *value == "true" : otherwise;
}

std::optional<int64_t> Args::integer(std::string_view name, int64_t min, int64_t max) const {
  const std::optional<std::string> value = text(name);
  if (!value) return {};
  const std::optional<int64_t> parsed = parse_count(*value);
  if (!parsed && is_digits(*value)) {
    throw UsageError("{} must be between {} and {}, but is {}", name, min, max, *value);
  }
  if (!parsed) throw UsageError("{} takes a whole number, but got \"{}\"", name, *value);
  if (*parsed < min || *parsed > max) {
    throw UsageError("{} must be between {} and {}, but is {}", name, min, max, *value);
  }
  return parsed;
}

std::optional<double> Args::number(std::string_view name, double min, double max) const {
  const std::optional<std::string> value = text(name);
  if (!value) return {};
  double parsed = 0;
  const auto [end, code] = std::from_chars(value->data(), value->data() + value->size(), parsed);
  if (code != std::errc() || end != value->data() + value->size()) {
    throw UsageError("{} takes a number, but got \"{}\"", name, *value);
  }
  if (!(parsed >= min && parsed <= max)) {
    throw UsageError("{} must be between {} and {}, but is {}", name, min, max, *value);
  }
  return parsed;
}

std::optional<std::string> Args::choice(std::string_view name,
                                        std::span<const std::string_view> choices) const {
  const std::optional<std::string> value = text(name);
  if (!value) return {};
  std::string all;
  for (const std::string_view choice : choices) {
    if (*value == choice) return value;
    all += (all.empty() ? "" : ", ") + std::string(choice);
  }
  throw UsageError("{} takes one of {}, but got \"{}\"", name, all, *value);
}

std::string help_text(const Verb& verb, size_t columns) {
  constexpr size_t kIndent = 30;
  std::string out = "minimax " + std::string(verb.name) + (verb.positionals.empty() ? "" : " ") +
                    std::string(verb.positionals) + (verb.flags.empty() ? "\n\n" : " [flags]\n\n");
  // Appends `text` after `line`, wrapped; further lines begin with `indent` spaces.
  const auto wrap = [&](std::string line, const std::string& text, size_t indent) {
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t room = columns > line.size() + 20 ? columns - line.size() : 20;
      size_t end = text.size();
      if (end - begin > room) {
        end = text.rfind(' ', begin + room);
        if (end == std::string::npos || end <= begin) end = std::min(text.size(), begin + room);
      }
      out += line + text.substr(begin, end - begin) + "\n";
      line.assign(indent, ' ');
      begin = end;
      while (begin < text.size() && text[begin] == ' ') ++begin;
    }
  };
  const auto row = [&](const std::string& head, const std::string& text) {
    std::string line = "  " + head;
    if (line.size() + 1 > kIndent) {
      out += line + "\n";
      line.clear();
    }
    line.resize(std::max(line.size(), kIndent), ' ');
    wrap(line, text, kIndent);
  };
  wrap("", std::string(verb.summary), 0);
  std::vector<std::string_view> groups;
  for (const Flag& flag : verb.flags) {
    if (std::find(groups.begin(), groups.end(), flag.group) == groups.end()) groups.push_back(flag.group);
  }
  for (const std::string_view group : groups) {
    out += "\n" + std::string(group) + ":\n";
    for (const Flag& flag : verb.flags) {
      if (flag.group != group) continue;
      std::string head(flag.name);
      if (flag.negatable) head = "--[no-]" + head.substr(2);
      if (!flag.short_name.empty()) head += ", " + std::string(flag.short_name);
      if (!flag.metavar.empty()) head += " " + std::string(flag.metavar) + (flag.list ? " ..." : "");
      std::string text(flag.help);
      if (flag.kind == FlagKind::kAccepted) text = "Accepted: " + text;
      if (flag.kind == FlagKind::kRefused) text = "Refused: " + text;
      if (!flag.default_text.empty()) text += " (default: " + std::string(flag.default_text) + ")";
      row(head, text);
    }
  }
  return out;
}

}  // namespace minimax::cli
