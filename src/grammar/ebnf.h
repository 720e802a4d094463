#pragma once
// Grammars that people write: GBNF, the dialect of EBNF that llama.cpp and xgrammar read.
//
//   root ::= greeting " " name
//   greeting ::= "Hello" | "Hi"      # a comment
//   name ::= [A-Z] [a-z]{1,10} ("-" [A-Z] [a-z]+)?
//
// Literals in double quotes and classes in brackets, with the escapes \n \r \t \\ \" \] \- \^ \xHH \uHHHH
// \UHHHHHHHH; . is any character; groups, | * + ? {m} {m,} {m,n}. A rule ends where the next one begins.
// Rules may be recursive, but not to their left.

#include <string_view>

#include "grammar/dfa.h"

namespace minimax::grammar {

// Rule `root` becomes rule 0. Throws Refusal with the line of what is wrong.
Grammar parse_ebnf(std::string_view text, Budget& budget);

// Reads a grammar's rules into one under construction; returns what calls its root.
Expr append_grammar(Grammar added, Grammar& to);

}  // namespace minimax::grammar
