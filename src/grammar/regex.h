#pragma once
// Regular expressions as JSON Schema and the peers read them: the common part of ECMA-262 and Python's re.
//
// Literals, ., classes, \d \w \s and their opposites (ASCII), escapes, groups (also (?:...) and named ones),
// alternatives, * + ? {m,n} (lazy forms mean the same language), ^ and $. What no finite automaton can do, or
// what the two dialects read differently, is refused by name: look-around, back references, \b, flags, \p.

#include <string_view>

#include "grammar/dfa.h"

namespace minimax::grammar {

// The expression with its anchors. Throws Refusal.
Expr parse_regex(std::string_view pattern);

// Texts that match as a whole.
Dfa whole_match(std::string_view pattern, Encoding encoding, Budget& budget);
// Texts in which the pattern is found somewhere, as JSON Schema's `pattern` has it.
Dfa found_in(std::string_view pattern, Encoding encoding, Budget& budget);

}  // namespace minimax::grammar
