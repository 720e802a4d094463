// `minimax completion bash|zsh|fish`: a script made from the tables of the verbs.

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "cli/bench.h"

namespace minimax::cli {
namespace {

constexpr Verb kVerb{"completion",
                     "bash|zsh|fish",
                     "Prints a completion script: source <(minimax completion bash), or the like.",
                     {},
                     1};

std::string words_of(const Verb& verb) {
  std::string out = "--help";
  if (verb.name == "bench") {
    for (const VerbEntry& entry : all_benchmarks()) out += " " + std::string(entry.name);
  }
  for (const Flag& flag : verb.flags) {
    if (flag.kind == FlagKind::kRefused) continue;
    out += " " + std::string(flag.name);
    if (flag.negatable) out += " --no-" + std::string(flag.name.substr(2));
  }
  return out;
}

std::string bash_script() {
  std::string verbs, cases;
  for (const VerbEntry& entry : all_verbs()) {
    verbs += std::string(entry.name) + " ";
    cases += "    " + std::string(entry.name) + ") words=\"" + words_of(entry.table()) + "\" ;;\n";
  }
  std::string bench_cases;
  for (const VerbEntry& entry : all_benchmarks()) {
    bench_cases += "      " + std::string(entry.name) + ") words=\"" + words_of(entry.table()) + "\" ;;\n";
  }
  return "_minimax() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} words\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         verbs +
         "--help --version\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  case ${COMP_WORDS[1]} in\n" +
         cases +
         "  esac\n"
         "  if [ \"${COMP_WORDS[1]}\" = bench ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
         "    case ${COMP_WORDS[2]} in\n" +
         bench_cases +
         "    esac\n"
         "  fi\n"
         "  if [ \"${COMP_WORDS[1]}\" = bench ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  case $current in\n"
         "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _minimax minimax\n";
}

std::string fish_script() {
  const auto quoted = [](std::string_view text) {
    std::string out(text);
    std::replace(out.begin(), out.end(), '\'', '`');
    return "'" + out + "'";
  };
  std::string out;
  const auto add = [&](const VerbEntry& entry, const std::string& parent) {
    const Verb& verb = entry.table();
    out += "complete -c minimax -n " + parent + " -a " + std::string(entry.name) + " -d " +
           quoted(verb.summary) + "\n";
    for (const Flag& flag : verb.flags) {
      if (flag.kind == FlagKind::kRefused) continue;
      out += "complete -c minimax -n '__fish_seen_subcommand_from " + std::string(entry.name) + "' -l " +
             std::string(flag.name.substr(2)) + (flag.metavar.empty() ? "" : " -r") + " -d " +
             quoted(flag.help) + "\n";
    }
  };
  for (const VerbEntry& entry : all_verbs()) add(entry, "__fish_use_subcommand");
  for (const VerbEntry& entry : all_benchmarks()) add(entry, "'__fish_seen_subcommand_from bench'");
  return out;
}

}  // namespace

const Verb& completion_verb() {
  return kVerb;
}

int run_completion(const Words& words, const Environment&) {
  const Args args = parse_args(kVerb, words);
  if (print_help(kVerb, args)) return 0;
  const std::string shell = args.positionals().empty() ? "" : args.positionals().front();
  std::string script;
  if (shell == "bash") {
    script = bash_script();
  } else if (shell == "zsh") {
    script = "autoload -U +X bashcompinit && bashcompinit\n" + bash_script();
  } else if (shell == "fish") {
    script = fish_script();
  } else {
    throw UsageError("completion takes bash, zsh or fish, but got \"{}\"", shell);
  }
  std::fwrite(script.data(), 1, script.size(), stdout);
  return 0;
}

}  // namespace minimax::cli
