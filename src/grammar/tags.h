#pragma once
// Structural tags: free text in which tagged parts have a form. Both shapes the peer reads:
//
//   {"type": "structural_tag", "triggers": ["<function="],
//    "structures": [{"begin": "<function=f>", "schema": {...}, "end": "</function>"}]}
//   {"type": "structural_tag", "format": FORMAT}
//
// FORMAT: const_string, json_schema, regex, grammar, any_text, sequence, or, tag, triggered_tags,
// tags_with_separator.

#include "grammar/schema.h"

namespace minimax::grammar {

// Throws Refusal naming what is wrong and where.
Expr structural_tag(const Json& tag, Grammar& grammar, JsonRules& rules, const SchemaOptions& options,
                    Budget& budget);

}  // namespace minimax::grammar
