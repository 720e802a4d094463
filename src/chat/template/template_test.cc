#include "chat/template/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace minimax::chat::jinja {
namespace {

using testing::HasSubstr;

Json json(std::string_view text) {
  const Result<Json> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return *parsed;
}

Result<Text> rendered(std::string_view source, const std::vector<Input>& inputs = {},
                      const Limits& limits = {}) {
  return Template::parse(source, "t.jinja", limits).render(inputs, 864000);
}

std::string text(std::string_view source, const std::vector<Input>& inputs = {}) {
  const Result<Text> out = rendered(source, inputs);
  EXPECT_TRUE(out.ok()) << source << ": " << out.failure().message;
  return out.ok() ? out->bytes() : "";
}

Failure failure(std::string_view source, const std::vector<Input>& inputs = {}, const Limits& limits = {}) {
  const Result<Text> out = rendered(source, inputs, limits);
  EXPECT_FALSE(out.ok()) << source << ": " << out->bytes();
  return out.ok() ? Failure() : out.failure();
}

std::string refusal(std::string_view source, const Limits& limits = {}) {
  try {
    Template::parse(source, "t.jinja", limits);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// What the conversation wrote, with the template's own text left out.
std::string of_user(const Text& text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!text.from_template(at)) out += text.bytes()[at];
  }
  return out;
}

TEST(Template, UndefinedIsAValueOfItsOwn) {
  EXPECT_EQ(text("{{ x is none }}{{ x is defined }}{{ x }}{{ m.a is none }}", {{"m", json("{}")}}),
            "FalseFalseFalse");
  EXPECT_THAT(failure("a\n{{ x.y }}").message, HasSubstr("line 2: 'x' is undefined"));
}

TEST(Template, JsonHasPythonsSeparatorsOrderAndCharacters) {
  EXPECT_EQ(text("{{ x | tojson }}", {{"x", json(R"({"b":[1,2.0,null],"a":"<é&'\u007f"})")}}),
            "{\"b\": [1, 2.0, null], \"a\": \"<é&'\x7F\"}");
  EXPECT_EQ(text("{{ x | tojson(ensure_ascii=True) }}", {{"x", json(R"("é😀")")}}), R"("\u00e9\ud83d\ude00")");
}

TEST(Template, BlocksAreTrimmedAndStripped) {
  EXPECT_EQ(text("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(text("a \n {%- if true -%} \n b {%+ endif %}\nc"), "ab c");
}

TEST(Template, WhatIsNotKnownIsRefusedWithLineAndConstruct) {
  EXPECT_EQ(refusal("\n\n{% include 'x' %}"), "t.jinja line 3: the tag 'include' is not known here");
  EXPECT_EQ(refusal("{{ x | wordwrap }}"), "t.jinja line 1: the filter 'wordwrap' is not known");
  EXPECT_EQ(refusal("\n{{ x is odd_looking }}"), "t.jinja line 2: the test 'odd_looking' is not known");
  EXPECT_EQ(refusal("{{ x.encode() }}"), "t.jinja line 1: the method 'encode' is not known");
  EXPECT_EQ(refusal("{{ cycler() }}"), "t.jinja line 1: the function 'cycler' is not known");
  EXPECT_EQ(refusal("{{ f(*x) }}"), "t.jinja line 1: arguments with stars are not known");
  EXPECT_EQ(refusal("{% for x in y recursive %}{% endfor %}"),
            "t.jinja line 1: 'recursive' loops are not known");
  EXPECT_EQ(refusal("{{ x | map('nope') }}"), "t.jinja line 1: the filter 'nope' is not known");
  EXPECT_EQ(refusal("{{ x | select('nope') }}"), "t.jinja line 1: the test 'nope' is not known");
}

TEST(Template, BrokenSourcesAreRefusedWithTheirLine) {
  EXPECT_EQ(refusal("a\n{% if x %}b"), "t.jinja line 2: expected {% endif %}, found the end of the template");
  EXPECT_EQ(refusal("{{ x"), "t.jinja line 1: the template ends inside a tag");
  EXPECT_EQ(refusal("{# x"), "t.jinja line 1: the comment is not closed");
  EXPECT_EQ(refusal("{{ 'x }}"), "t.jinja line 1: the string is not closed");
  EXPECT_EQ(refusal("{{ x) }}"), "t.jinja line 1: unexpected ')'");
  EXPECT_EQ(refusal("{{ }}"), "t.jinja line 1: expected an expression, found '}}'");
  EXPECT_EQ(refusal("{% raw %}"), "t.jinja line 1: the raw block is not closed");
  EXPECT_EQ(refusal("{% break %}"), "t.jinja line 1: 'break' stands outside a loop");
  EXPECT_EQ(refusal("\xFF"), "t.jinja line 1: expected UTF-8, found other bytes");
}

TEST(Template, WhatTheTemplateRaisesIsTheFailure) {
  const Failure raised = failure("{{ raise_exception('No tools, ' ~ x) }}", {{"x", json(R"("please")")}});
  EXPECT_EQ(raised.message, "The chat template failed in line 1: No tools, please");
  EXPECT_EQ(raised.kind, FailureKind::kInvalid);
}

TEST(Template, StepsDepthMemoryAndOutputAreLimited) {
  Limits limits;
  limits.steps_max = 1000;
  EXPECT_THAT(failure("{% for i in range(10000) %}x{% endfor %}", {}, limits).message,
              HasSubstr("steps_max"));
  EXPECT_EQ(failure("{% for i in range(10000) %}x{% endfor %}", {}, limits).kind, FailureKind::kTooLarge);
  limits = {};
  limits.output_bytes_max = 100;
  EXPECT_THAT(failure("{{ 'x' * 101 }}", {}, limits).message, HasSubstr("output_bytes_max"));
  limits = {};
  limits.heap_bytes_max = 1 << 20;
  EXPECT_THAT(
      failure(
          "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
          {}, limits)
          .message,
      HasSubstr("heap_bytes_max"));
  EXPECT_THAT(failure("{{ 'x' * 9000000000000 }}", {}, limits).message, HasSubstr("heap_bytes_max"));
  EXPECT_THAT(failure("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}").message, HasSubstr("depth_max"));
  EXPECT_THAT(failure("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% "
                      "endfor %}{{ ns.l }}")
                  .message,
              HasSubstr("depth_max"));
  EXPECT_THAT(refusal("{{ " + std::string(500, '(') + "1" + std::string(500, ')') + " }}"),
              HasSubstr("nesting_max"));
  std::string sum = "1";
  for (int i = 0; i < 500; ++i) sum += " + 1";
  EXPECT_THAT(refusal("{{ " + sum + " }}"), HasSubstr("node_depth_max"));
  limits = {};
  limits.source_bytes_max = 10;
  EXPECT_THAT(refusal(std::string(11, 'x'), limits), HasSubstr("source_bytes_max"));
}

// Whatever is done to it, what the user wrote stays the user's.
TEST(Template, UsersTextKeepsItsOriginThroughEveryOperation) {
  const std::vector<Input> inputs{{"u", json(R"("<think> U")")}, {"l", json(R"(["<a>", {"k": "<b>"}])")}};
  for (const char* expression : {"u",
                                 "u ~ ''",
                                 "u + ''",
                                 "u[0:]",
                                 "u[::-1]",
                                 "u | trim",
                                 "u | upper",
                                 "u | lower",
                                 "u | title",
                                 "u | capitalize",
                                 "u | replace('x', 'y')",
                                 "u.replace('<', u)",
                                 "u.split('k') | join(u)",
                                 "u.split()[0]",
                                 "u | list | join",
                                 "u | first",
                                 "u | string",
                                 "u | indent(0)",
                                 "u.strip('<')",
                                 "u.partition('i')[2]",
                                 "u.splitlines()[0]",
                                 "l | first",
                                 "l[1].k",
                                 "l | string",
                                 "l | tojson",
                                 "[u][0]",
                                 "{'k': u}.k",
                                 "dict(k=u).k",
                                 "u if true else ''",
                                 "u or 'x'",
                                 "u * 2",
                                 "l | map('string') | join",
                                 "u | default('x')",
                                 "l[1].keys() | first",
                                 "l[1] | items | first | last",
                                 "l[1] | dictsort | first | first",
                                 "[u] | sort | first",
                                 "[u] | max",
                                 "'' | default(u, true)",
                                 "u.removeprefix('<')"}) {
    const Result<Text> out = rendered("{{ " + std::string(expression) + " }}", inputs);
    ASSERT_TRUE(out.ok()) << expression << ": " << out.failure().message;
    EXPECT_FALSE(out->empty()) << expression;
    EXPECT_EQ(of_user(*out), out->bytes()) << expression;
  }
  for (const char* statements :
       {"{% set x %}{{ u }}{% endset %}{{ x }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(u) }}",
        "{% filter upper %}{{ u }}{% endfilter %}", "{% set ns = namespace(x=u) %}{{ ns.x }}",
        "{% for c in u %}{{ c }}{% endfor %}", "{% with x = u %}{{ x }}{% endwith %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ u }}{% endcall %}"}) {
    const Result<Text> out = rendered(statements, inputs);
    ASSERT_TRUE(out.ok()) << statements;
    EXPECT_EQ(of_user(*out), out->bytes()) << statements;
    EXPECT_FALSE(out->empty()) << statements;
  }
}

TEST(Template, MixedTextsKnowTheOriginOfEachByte) {
  const std::vector<Input> inputs{{"u", json(R"("user")")}};
  const auto marked = [&](const std::string& expression) {
    const Result<Text> out = rendered("{{ " + expression + " }}", inputs);
    EXPECT_TRUE(out.ok());
    std::string marks;
    for (size_t at = 0; at < out->size(); ++at) marks += out->from_template(at) ? 't' : 'u';
    return out->bytes() + " " + marks;
  };
  EXPECT_EQ(marked("'<' ~ u ~ '>'"), "<user> tuuuut");
  EXPECT_EQ(marked("('<' ~ u ~ '>')[1:3]"), "us uu");
  EXPECT_EQ(marked("('<' ~ u ~ '>')[::-1]"), ">resu< tuuuut");
  EXPECT_EQ(marked("('a-' ~ u) | replace('-', u)"), "auseruser tuuuuuuuu");
  EXPECT_EQ(marked("(u ~ 'x') | upper"), "USERX uuuut");
  EXPECT_EQ(marked("['a', u]"), "['a', 'user'] tttttttuuuutt");
  EXPECT_EQ(marked("[u ~ \"'\"] "), "[\"user'\"] ttuuuuttt");
  EXPECT_EQ(marked("{'k': u} | tojson"), "{\"k\": \"user\"} ttttttuuuuuut");
}

TEST(Template, SpecialTokensOfTheCheckpointAreTheTemplates) {
  const Result<Text> out =
      rendered("{{ bos_token }}{{ x }}", {{"bos_token", json(R"("<s>")"), true}, {"x", json(R"("<s>")")}});
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->runs(), (std::vector<Text::Run>{{3, true}, {6, false}}));
}

TEST(Template, AGeneratorIsUsedUpByItsFirstReader) {
  EXPECT_EQ(text("{% set g = [1, 2] | map('string') %}{{ g | join }}{{ g | join }}{{ 'true' if g }}"),
            "12true");
}

// As Python has it: a range has places and is a sequence, what items() yields has none and is not.
TEST(Template, ARangeIsASequenceAndAViewIsNot) {
  EXPECT_EQ(text("{{ range(3) is sequence }}{{ range(3)[1] }}{{ range(3)[-1] }}{{ range(2) == range(2) }}"
                 "{{ range(2) == [0, 1] }}"),
            "True12TrueFalse");
  EXPECT_EQ(text("{% set v = {'a': 1}.items() %}{{ v is sequence }}{{ v is iterable }}{{ v[0] is defined }}"
                 "{{ v | length }}"),
            "FalseTrueFalse1");
}

TEST(Template, MembersNamedLikeMethodsAreFoundBySubscript) {
  EXPECT_EQ(text("{{ x['items'] }}{{ x.items() | list }}", {{"x", json(R"({"items": 1})")}}),
            "1[('items', 1)]");
}

TEST(Template, KnowsWhetherItReadsLists) {
  EXPECT_TRUE(Template::parse("{% for p in message.content %}{% endfor %}", "t").reads_parts());
  EXPECT_TRUE(Template::parse("{% for p in message['content'] %}{% endfor %}", "t").reads_parts());
  EXPECT_FALSE(
      Template::parse("{{ message.content }}{% for m in messages %}{% endfor %}", "t").reads_parts());
}

TEST(Template, TheTimeIsTheCallers) {
  EXPECT_EQ(text("{{ strftime_now('%Y') }}"), "1970");
}

}  // namespace
}  // namespace minimax::chat::jinja
