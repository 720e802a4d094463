#include "grammar/compiler.h"

#include <algorithm>

#include <fmt/format.h>

#include "grammar/ebnf.h"
#include "grammar/regex.h"
#include "grammar/tags.h"

namespace minimax::grammar {
namespace {

void append_part(std::string& out, std::string_view part) {
  out += fmt::format("{}:", part.size());
  out += part;
}

Grammar of_one_rule(Expr body) {
  Grammar grammar;
  grammar.rules.push_back({"root", std::move(body)});
  return grammar;
}

Grammar choices_to_grammar(const std::vector<std::string>& choices) {
  std::vector<Expr> all;
  size_t bytes = 0;
  for (const std::string& one : choices) {
    bytes += one.size();
    all.push_back(text(one));
  }
  if (bytes > kSourceBytesMax) {
    throw Refusal{
        fmt::format("the choices have {} bytes, more than {} (kSourceBytesMax)", bytes, kSourceBytesMax)};
  }
  return of_one_rule(choice(std::move(all)));
}

void move_calls(Expr& expr, int32_t from, int32_t to) {
  if (expr.kind == Expr::Kind::kRule && expr.number == from) expr.number = to;
  for (Expr& item : expr.items) move_calls(item, from, to);
}

// Rule 0 moves to the end, to leave its number to the prefix and itself.
void add_prefix(Grammar& grammar, const std::string& prefix) {
  if (prefix.empty()) return;
  const auto moved = static_cast<int32_t>(grammar.rules.size());
  for (Rule& each : grammar.rules) move_calls(each.body, 0, moved);
  grammar.rules.push_back(std::move(grammar.rules.front()));
  grammar.rules.front() = {"prefix", sequence({text(prefix), rule(moved)})};
}

Grammar read(const Constraint& constraint, Budget& budget) {
  switch (constraint.kind) {
    case Constraint::Kind::kRegex:
      return of_one_rule(automaton(whole_match(constraint.text, Encoding::kUtf8, budget)));
    case Constraint::Kind::kChoice:
      return choices_to_grammar(constraint.choices);
    case Constraint::Kind::kEbnf:
      return parse_ebnf(constraint.text, budget);
    case Constraint::Kind::kJsonObject:
    case Constraint::Kind::kJsonSchema:
    case Constraint::Kind::kTags:
    case Constraint::Kind::kToolCalls:
      break;
  }
  Grammar grammar = of_one_rule(nothing());
  JsonRules rules(grammar, constraint.spacing, budget);
  const auto body = [&] {
    if (constraint.kind == Constraint::Kind::kJsonObject) return rules.object();
    if (constraint.kind == Constraint::Kind::kToolCalls)
      return tool_calls(constraint.tools, grammar, rules, budget);
    if (constraint.kind == Constraint::Kind::kTags)
      return structural_tag(constraint.schema, grammar, rules, constraint.schema_options, budget);
    return SchemaReader(grammar, rules, constraint.schema, constraint.schema_options, budget)
        .read(constraint.schema, "");
  };
  Expr whole = body();
  if (constraint.kind != Constraint::Kind::kToolCalls && !constraint.tools.tools.empty()) {
    JsonRules call_rules(grammar, constraint.spacing, budget);
    whole = choice({std::move(whole), tool_calls(constraint.tools, grammar, call_rules, budget)});
  }
  grammar.rules.front().body = std::move(whole);
  return grammar;
}

}  // namespace

std::string Constraint::key() const {
  std::string out = fmt::format("{}.{}.", static_cast<int>(kind), static_cast<int>(spacing.kind));
  append_part(out, prefix);
  append_part(out, spacing.pattern);
  append_part(out, schema_options.closed_objects ? "closed" : "");
  if (!schema.is_null()) append_part(out, to_string(schema));
  append_part(out, tools.key());
  append_part(out, text);
  for (const std::string& one : choices) append_part(out, one);
  return out;
}

Grammar to_grammar(const Constraint& constraint, Budget& budget) {
  Grammar grammar = read(constraint, budget);
  add_prefix(grammar, constraint.prefix);
  return grammar;
}

void Compiler::Turn::take() {
  std::unique_lock lock(compiler_.mutex_);
  if (compiler_.dear_ == kDearCompilationsMax) {
    throw Refusal{fmt::format("{} constraints that take long to compile are before it (kDearCompilationsMax)",
                              kDearCompilationsMax),
                  true};
  }
  ++compiler_.dear_;
  compiler_.turn_ends_.wait(lock, [this] { return !compiler_.turn_is_taken_; });
  compiler_.turn_is_taken_ = taken_ = true;
}

Compiler::Turn::~Turn() {
  if (!taken_) return;
  {
    const std::lock_guard lock(compiler_.mutex_);
    --compiler_.dear_;
    compiler_.turn_is_taken_ = false;
  }
  compiler_.turn_ends_.notify_one();
}

Result<std::shared_ptr<Machine>> Compiler::compile(const Constraint& constraint) {
  const std::string key = constraint.key();
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::ranges::find(entries_, key, &Entry::key);
    // One that has learnt too much is left to those who use it.
    if (known != entries_.end() && known->machine->bytes_used() < kMachineBytesMax) {
      entries_.splice(entries_.begin(), entries_, known);
      return entries_.front().machine;
    }
    if (known != entries_.end()) entries_.erase(known);
    const auto refused = std::ranges::find(refused_, key, &std::pair<std::string, std::string>::first);
    if (refused != refused_.end()) return invalid(refused->second);
  }
  std::shared_ptr<Machine> machine;
  Turn turn(*this);
  try {
    Budget budget(kCompileStepsMax, [&turn] { turn.take(); });
    const Grammar grammar = to_grammar(constraint, budget);
    machine = std::make_shared<Machine>(Automaton(grammar, budget), vocabulary_);
  } catch (const Refusal& refusal) {
    if (refusal.for_now) return Failure{FailureKind::kOverloaded, refusal.message, {}};
    const std::lock_guard lock(mutex_);
    if (key.size() <= kRefusedKeyMax) refused_.emplace_front(key, refusal.message);
    if (refused_.size() > kRefusedMax) refused_.pop_back();
    return invalid(refusal.message);
  }
  const std::lock_guard lock(mutex_);
  entries_.push_front({key, machine});
  size_t bytes = 0;
  size_t kept = 0;
  for (const Entry& entry : entries_) {
    bytes += entry.machine->bytes_used();
    if (kept > 0 && bytes > kBytesMax) break;  // those that run keep their own
    ++kept;
  }
  entries_.resize(std::min(kept, kMachinesMax));
  return machine;
}

}  // namespace minimax::grammar
