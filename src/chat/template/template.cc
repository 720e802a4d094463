#include "chat/template/template.h"

#include <algorithm>

#include "chat/template/evaluator.h"
#include "chat/template/lexer.h"
#include "chat/template/parser.h"

namespace minimax::chat::jinja {
namespace {

constexpr std::string_view kContent = "content";

bool is_content(const Node& node) {
  if (node.kind == NodeKind::kName || node.kind == NodeKind::kAttribute) return node.name == kContent;
  if (node.kind == NodeKind::kItem) return node.children[1].value == Json(kContent);
  return false;
}

bool loops_over_content(const Node& node) {
  if (node.kind == NodeKind::kFor && is_content(node.children[1])) return true;
  return std::ranges::any_of(node.children, loops_over_content);
}

Value value_of(const Input& input, Heap& heap) {
  const Value value = heap.of_json(input.value, input.from_template);
  if (input.own_member.empty() || !value.is(Value::Kind::kList)) return value;
  for (const Value& item : value.list->items) {
    if (!item.is(Value::Kind::kDict)) continue;
    for (auto& [key, member] : item.dict->items) {
      const bool own = key.text->bytes() == input.own_member && member.is(Value::Kind::kText);
      if (own) member = heap.text(member.text->bytes(), true);
    }
  }
  return value;
}

}  // namespace

Template Template::parse(std::string_view source, const std::string& source_name, const Limits& limits) {
  if (source.size() > limits.source_bytes_max) {
    refuse(source_name, 1,
           fmt::format("the template has {} bytes, more than {} (source_bytes_max)", source.size(),
                       limits.source_bytes_max));
  }
  Template out;
  out.limits_ = limits;
  out.root_ = Parser(tokenize(source, source_name), source_name, limits).parse();
  out.reads_parts_ = loops_over_content(out.root_);
  return out;
}

Result<Text> Template::render(const std::vector<Input>& inputs, std::time_t now) const {
  Heap heap(limits_);
  Evaluator evaluator(heap, now);
  try {
    for (const Input& input : inputs) evaluator.define(input.name, value_of(input, heap));
    return evaluator.run(root_);
  } catch (const Failed& failed) {
    const FailureKind kind = failed.limit ? FailureKind::kTooLarge : FailureKind::kInvalid;
    return Failure{
        kind, fmt::format("The chat template failed in line {}: {}", evaluator.line(), failed.message), {}};
  }
}

}  // namespace minimax::chat::jinja
