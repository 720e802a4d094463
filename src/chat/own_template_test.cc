#include "chat/own_template.h"

#include <gtest/gtest.h>

#include "chat/render.h"

namespace minimax::chat {
namespace {

RenderOptions with(const std::string& source) {
  RenderOptions options;
  options.own = OwnTemplate{jinja::Template::parse(source, "t"), Json::object({{"bos_token", "<s>"}}), true};
  return options;
}

Conversation said(const Json& content, Role role = Role::kUser) {
  Conversation conversation;
  conversation.messages.push_back({});
  conversation.messages[0].role = role;
  conversation.messages[0].content = content;
  return conversation;
}

std::vector<Segment> rendered(const Conversation& conversation, const RenderOptions& options) {
  const auto segments = render(conversation, options);
  EXPECT_TRUE(segments.ok()) << segments.failure().message;
  return segments.ok() ? *segments : std::vector<Segment>();
}

constexpr const char* kPlain =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}";

TEST(OwnTemplate, TakesThePlaceOfTheFamilys) {
  EXPECT_EQ(rendered(said("<|end|>"), with(kPlain)),
            (std::vector<Segment>{{"<s><|user|>", true}, {"<|end|>", false}, {"<|end|>", true}}));
}

TEST(OwnTemplate, NullIsNoText) {
  EXPECT_EQ(joined(rendered(said(Json()), with(kPlain))), "<s><|user|><|end|>");
}

TEST(OwnTemplate, PartsAreJoinedForTemplatesThatKnowStrings) {
  RenderOptions options = with(kPlain);
  options.own->reads_parts = false;
  const Json parts = Json(Json::Array{Json::object({{"type", "text"}, {"text", "a"}}), Json("b")});
  EXPECT_EQ(joined(rendered(said(parts), options)), "<s><|user|>a\nb<|end|>");
}

TEST(OwnTemplate, KeywordsReachItButNotTheMessages) {
  Conversation conversation = said("x");
  conversation.template_kwargs = Json::object({{"style", "<|end|>"}, {"messages", Json::array()}});
  EXPECT_EQ(rendered(conversation, with("{{ style }}{{ messages | length }}")),
            (std::vector<Segment>{{"<|end|>", false}, {"1", true}}));
}

TEST(OwnTemplate, AContinuedMessageEndsThePrompt) {
  Conversation conversation = said("so far <|end", Role::kAssistant);
  conversation.continue_final_message = true;
  EXPECT_EQ(joined(rendered(conversation, with(kPlain))), "<s><|assistant|>so far <|end");
  // Text that looks like the template's own end of a message.
  conversation.messages[0].content = Json("<|end|>");
  EXPECT_EQ(joined(rendered(conversation, with(kPlain))), "<s><|assistant|><|end|>");
  EXPECT_EQ(render(conversation, with("{{ messages | length }}")).failure().param, "messages[0].content");
}

TEST(OwnTemplate, WhatItRaisesNamesTheMessages) {
  const auto failed = render(said("x"), with("{{ raise_exception('no') }}"));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.failure().param, "messages");
  EXPECT_EQ(failed.failure().message, "The chat template failed in line 1: no");
}

TEST(OwnTemplate, TheFamilysAreRecognised) {
  EXPECT_FALSE(is_family_template(kPlain));
  EXPECT_FALSE(is_family_template(""));
}

}  // namespace
}  // namespace minimax::chat
