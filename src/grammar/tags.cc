#include "grammar/tags.h"

#include <algorithm>

#include <fmt/format.h>

#include "grammar/ebnf.h"
#include "grammar/regex.h"

namespace minimax::grammar {
namespace {

struct Tag {
  std::string begin, end;
  Expr content;
};

class TagReader {
 public:
  TagReader(Grammar& grammar, JsonRules& rules, const SchemaOptions& options, Budget& budget)
      : grammar_(grammar), rules_(rules), options_(options), budget_(budget) {}

  Expr read_structures(const Json& tag) {
    std::vector<Tag> tags;
    size_t i = 0;
    for (const Json& one : list(tag, "structures", "")) {
      const std::string place = fmt::format("/structures/{}", i++);
      tags.push_back({string(one, "begin", place), string(one, "end", place),
                      schema(member(one, "schema", place), place + "/schema")});
    }
    return triggered(strings(tag, "triggers", ""), tags, false, false, "");
  }

  Expr read_format(const Json& format, const std::string& place, int depth) {
    if (depth > kNestingMax)
      throw Refusal{fmt::format("formats nest more than {} deep (kNestingMax)", kNestingMax)};
    budget_.spend();
    const std::string type = string(format, "type", place);
    if (type == "const_string") return text(string(format, "value", place));
    if (type == "json_schema") return schema(member(format, "json_schema", place), place + "/json_schema");
    if (type == "regex")
      return automaton(whole_match(string(format, "pattern", place), Encoding::kUtf8, budget_));
    if (type == "grammar") {
      Grammar added = parse_ebnf(string(format, "grammar", place), budget_);
      added.inline_small_rules = false;
      return append_grammar(std::move(added), grammar_);
    }
    if (type == "any_text") return any_text({});
    if (type == "sequence" || type == "or") {
      std::vector<Expr> parts;
      for (const Json& one : list(format, "elements", place))
        parts.push_back(read_format(one, fmt::format("{}/elements/{}", place, parts.size()), depth + 1));
      return type == "or" ? choice(std::move(parts)) : sequence(std::move(parts));
    }
    if (type == "tag") return whole(read_tag(format, place, depth));
    if (type == "triggered_tags") {
      return triggered(strings(format, "triggers", place), read_tags(format, place, depth),
                       flag(format, "at_least_one"), flag(format, "stop_after_first"), place);
    }
    if (type == "tags_with_separator") return separated(format, place, depth);
    throw Refusal{fmt::format("the format {} at {}/ is not supported", type, place)};
  }

 private:
  static const Json& member(const Json& object, const char* key, const std::string& place) {
    const Json* found = object.find(key);
    if (found == nullptr) throw Refusal{fmt::format("{}/ has no {}", place, key)};
    return *found;
  }
  static std::string string(const Json& object, const char* key, const std::string& place) {
    const Json& found = member(object, key, place);
    if (!found.is_string()) throw Refusal{fmt::format("{} at {}/ must be a string", key, place)};
    return found.as_string();
  }
  static const Json::Array& list(const Json& object, const char* key, const std::string& place) {
    const Json& found = member(object, key, place);
    if (!found.is_array() || found.as_array().empty())
      throw Refusal{fmt::format("{} at {}/ must be a list that is not empty", key, place)};
    return found.as_array();
  }
  static std::vector<std::string> strings(const Json& object, const char* key, const std::string& place) {
    std::vector<std::string> out;
    for (const Json& one : list(object, key, place)) {
      if (!one.is_string() || one.as_string().empty())
        throw Refusal{fmt::format("{} at {}/ must hold strings that are not empty", key, place)};
      out.push_back(one.as_string());
    }
    return out;
  }
  static bool flag(const Json& object, const char* key) {
    const Json* found = object.find(key);
    return found != nullptr && *found == Json(true);
  }

  Expr schema(const Json& value, const std::string& place) {
    try {
      // Each schema is a document of its own for $ref.
      return SchemaReader(grammar_, rules_, value, options_, budget_).read(value, "");
    } catch (const Refusal& refusal) {
      throw Refusal{fmt::format("the schema at {}: {}", place, refusal.message)};
    }
  }

  // Any text without the one given.
  Expr any_text(const std::vector<std::string>& banned) {
    const Expr any = repeat(set_of(all_chars()), 0, -1);
    if (banned.empty()) return any;
    return automaton(difference(to_dfa(any, Encoding::kUtf8, {}, budget_),
                                to_dfa(sequence({any, one_of(banned), any}), Encoding::kUtf8, {}, budget_),
                                budget_));
  }
  static Expr one_of(const std::vector<std::string>& texts) {
    std::vector<Expr> all;
    for (const std::string& one : texts) all.push_back(text(one));
    return choice(std::move(all));
  }

  Tag read_tag(const Json& format, const std::string& place, int depth) {
    Tag out{string(format, "begin", place), string(format, "end", place), {}};
    const Json& content = member(format, "content", place);
    const Json* type = content.find("type");
    const bool free = type != nullptr && *type == Json("any_text") && !out.end.empty();
    out.content = free ? any_text({out.end}) : read_format(content, place + "/content", depth + 1);
    return out;
  }
  std::vector<Tag> read_tags(const Json& format, const std::string& place, int depth) {
    std::vector<Tag> out;
    for (const Json& one : list(format, "tags", place))
      out.push_back(read_tag(one, fmt::format("{}/tags/{}", place, out.size()), depth + 1));
    return out;
  }
  static Expr whole(const Tag& tag) { return sequence({text(tag.begin), tag.content, text(tag.end)}); }

  Expr separated(const Json& format, const std::string& place, int depth) {
    std::vector<Expr> all;
    for (const Tag& tag : read_tags(format, place, depth)) all.push_back(whole(tag));
    const Expr one = rule(rules_.add_rule("tag", choice(std::move(all))));
    const Expr more = repeat(sequence({text(string(format, "separator", place)), one}), 0,
                             flag(format, "stop_after_first") ? 0 : -1);
    const Expr some = sequence({one, more});
    return flag(format, "at_least_one") ? some : optional(some);
  }

  // Free text up to a trigger, then the tag that begins with it; and again.
  Expr triggered(const std::vector<std::string>& triggers, const std::vector<Tag>& tags, bool at_least_one,
                 bool once, const std::string& place) {
    const Expr any = repeat(set_of(all_chars()), 0, -1);
    const Dfa with_one_before = to_dfa(sequence({any, one_of(triggers), repeat(set_of(all_chars()), 1, -1)}),
                                       Encoding::kUtf8, {}, budget_);
    std::vector<bool> used(tags.size(), false);
    std::vector<Expr> ways;
    for (const std::string& trigger : triggers) {
      std::vector<Expr> follow;
      for (size_t i = 0; i < tags.size(); ++i) {
        if (!tags[i].begin.starts_with(trigger)) continue;
        used[i] = true;
        const Expr rest =
            sequence({text(tags[i].begin.substr(trigger.size())), tags[i].content, text(tags[i].end)});
        follow.push_back(rule(rules_.add_rule("tag " + tags[i].begin, rest)));
      }
      if (follow.empty())
        throw Refusal{
            fmt::format("no tag at {}/ begins with the trigger {}", place, to_string(Json(trigger)))};
      Dfa up_to = difference(to_dfa(sequence({any, text(trigger)}), Encoding::kUtf8, {}, budget_),
                             with_one_before, budget_);
      ways.push_back(sequence({automaton(std::move(up_to)), choice(std::move(follow))}));
    }
    for (size_t i = 0; i < tags.size(); ++i) {
      if (!used[i])
        throw Refusal{fmt::format("the tag {} at {}/ begins with none of the triggers",
                                  to_string(Json(tags[i].begin)), place)};
    }
    const Expr loop = repeat(choice(std::move(ways)), at_least_one ? 1 : 0, once ? 1 : -1);
    if (!once) return sequence({loop, any_text(triggers)});
    const Expr none = any_text(triggers);
    return at_least_one ? loop : choice({repeat(loop.items[0], 1, 1), none});
  }

  Grammar& grammar_;
  JsonRules& rules_;
  const SchemaOptions options_;
  Budget& budget_;
};

}  // namespace

Expr structural_tag(const Json& tag, Grammar& grammar, JsonRules& rules, const SchemaOptions& options,
                    Budget& budget) {
  if (!tag.is_object()) throw Refusal{"a structural tag must be an object"};
  TagReader reader(grammar, rules, options, budget);
  if (const Json* format = tag.find("format")) return reader.read_format(*format, "/format", 0);
  return reader.read_structures(tag);
}

}  // namespace minimax::grammar
