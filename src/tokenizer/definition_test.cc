#include "tokenizer/definition.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace minimax::tokenizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Json good() {
  return small_tokenizer({{"t", "h"}, {"th", "e"}});
}

std::string error_of(const std::string& text) {
  try {
    Tokenizer::parse(text, "small.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// The sentence with which a file is refused that `break_it` has changed.
std::string error_after(const std::function<void(Json&)>& break_it) {
  Json json = good();
  break_it(json);
  return error_of(to_string(json));
}

Json& split_of(Json& json) {
  return json.find("pre_tokenizer")->find("pretokenizers")->as_array()[0];
}

TEST(Definition, AGoodFileIsAccepted) {
  EXPECT_EQ(error_of(to_string(good())), "no error");
}

TEST(Definition, WhatWouldChangeIdsAndIsNotSupportedIsNamed) {
  const auto expect = [](std::string_view field, const std::function<void(Json&)>& break_it) {
    EXPECT_THAT(error_after(break_it), AllOf(HasSubstr("small.json: " + std::string(field)),
                                             HasSubstr("expected"), HasSubstr("found")));
  };
  expect("normalizer", [](Json& j) { j.set("normalizer", Json::object({{"type", "NFC"}})); });
  expect("pre_tokenizer", [](Json& j) { j.set("pre_tokenizer", nullptr); });
  expect("pre_tokenizer.type", [](Json& j) {
    j.set("pre_tokenizer", Json::object({{"type", "Metaspace"}}));
  });
  expect("pre_tokenizer.add_prefix_space", [](Json& j) {
    j.set("pre_tokenizer", Json::object({{"type", "ByteLevel"}, {"add_prefix_space", true}}));
  });
  expect("pre_tokenizer.pretokenizers[0].pattern", [](Json& j) { split_of(j).set("pattern", nullptr); });
  expect("pre_tokenizer.pretokenizers[0].pattern", [](Json& j) {
    split_of(j).set("pattern", Json::object({{"Regex", "(a"}}));
  });
  expect("pre_tokenizer.pretokenizers[0].pattern", [](Json& j) {
    split_of(j).set("pattern", Json::object({{"Regex", "[a&&b]"}}));
  });
  expect("pre_tokenizer.pretokenizers[0]", [](Json& j) { split_of(j).set("behavior", "MergedWithNext"); });
  expect("pre_tokenizer.pretokenizers[0]", [](Json& j) { split_of(j).set("invert", true); });
  expect("post_processor", [](Json& j) {
    j.set("post_processor", Json::object({{"type", "BertProcessing"}}));
  });
  expect("decoder", [](Json& j) { j.set("decoder", Json::object({{"type", "WordPiece"}})); });
  expect("model.type", [](Json& j) { j.find("model")->set("type", "Unigram"); });
  expect("model.dropout", [](Json& j) { j.find("model")->set("dropout", 0.1); });
  expect("model.byte_fallback", [](Json& j) { j.find("model")->set("byte_fallback", true); });
  expect("model.end_of_word_suffix", [](Json& j) { j.find("model")->set("end_of_word_suffix", "</w>"); });
  expect("model.continuing_subword_prefix",
         [](Json& j) { j.find("model")->set("continuing_subword_prefix", "##"); });
  for (const char* key : {"lstrip", "rstrip", "single_word"}) {
    expect(std::string("added_tokens[1].") + key,
           [&](Json& j) { j.find("added_tokens")->as_array()[1].set(key, true); });
  }
}

TEST(Definition, ABrokenFileIsNamedWithTheField) {
  const auto expect = [](std::string_view field, const std::function<void(Json&)>& break_it) {
    EXPECT_THAT(error_after(break_it), HasSubstr("small.json: " + std::string(field)));
  };
  expect("model", [](Json& j) { j.set("model", nullptr); });
  expect("model.vocab", [](Json& j) { j.find("model")->set("vocab", Json::array()); });
  expect("model.vocab", [](Json& j) { j.find("model")->set("vocab", Json::object()); });
  expect("model.vocab", [](Json& j) { j.find("model")->find("vocab")->set("", 700); });
  expect("model.vocab[\"x\"]", [](Json& j) { j.find("model")->find("vocab")->set("x", -1); });
  expect("model.vocab[\"x\"]", [](Json& j) { j.find("model")->find("vocab")->set("x", 1 << 30); });
  expect("model.vocab[\"zz\"]", [](Json& j) { j.find("model")->find("vocab")->set("zz", 65); });
  expect("model.vocab[\"▁the\"]", [](Json& j) { j.find("model")->find("vocab")->set("▁the", 700); });
  expect("model.merges", [](Json& j) { j.find("model")->set("merges", "a b"); });
  for (const Json& merge : {Json("ab"), Json("a b c"), Json(7), Json(Json::Array{"a"}), Json("q q")}) {
    expect("model.merges[2]", [&](Json& j) { j.find("model")->find("merges")->push_back(merge); });
  }
  expect("added_tokens", [](Json& j) { j.set("added_tokens", 1); });
  expect("added_tokens[9]", [](Json& j) { j.find("added_tokens")->push_back(1); });
  const auto expect_token = [&](std::string_view field, const Json& token) {
    expect(field, [&](Json& j) { j.find("added_tokens")->push_back(token); });
  };
  expect_token("added_tokens[9].content", Json::object({{"id", 1200}, {"content", ""}}));
  expect_token("added_tokens[9].id", Json::object({{"content", "<x>"}}));
  expect_token("added_tokens[9]", Json::object({{"id", 1200}, {"content", "<think>"}}));
  expect_token("added_tokens[9]", Json::object({{"id", 1000}, {"content", "<x>"}}));
  expect_token("added_tokens[9]", Json::object({{"id", 65}, {"content", "A"}}));
}

TEST(Definition, AMergeThatMakesAnAddedTokenIsRefused) {
  EXPECT_THAT(error_after([](Json& j) {
                j.find("added_tokens")->push_back(Json::object({{"id", 257}, {"content", "the"}}));
              }),
              HasSubstr("model.merges[1]"));
}

TEST(Definition, TruncatedFilesAreRefusedAtAnyLength) {
  const std::string text = to_string(good());
  for (size_t length = 0; length < text.size(); length += 97) {
    EXPECT_THAT(error_of(text.substr(0, length)), HasSubstr("small.json: expected JSON")) << length;
  }
}

TEST(Definition, AnAddedTokenMayStandInTheVocabularyToo) {
  Json json = good();
  json.find("model")->find("vocab")->set("<｜end▁of▁text｜>", 900);
  json.find("model")->find("vocab")->set("<|end|>", 901);
  json.find("added_tokens")
      ->push_back(Json::object({{"id", 900}, {"content", "<｜end▁of▁text｜>"}, {"special", true}}));
  json.find("added_tokens")
      ->push_back(Json::object({{"id", 901}, {"content", "<|end|>"}, {"special", true}}));
  const Tokenizer tokenizer = Tokenizer::parse(to_string(json), "small.json");
  EXPECT_EQ(tokenizer.encode("<｜end▁of▁text｜><|end|>", true), (std::vector<TokenId>{900, 901}));
  for (const TokenId id : tokenizer.encode("<｜end▁of▁text｜><|end|>", false)) EXPECT_LT(id, 256);
}

TEST(Definition, ThePlainVariantsOfPreTokenizersAreUnderstood) {
  Json json = good();
  json.set("pre_tokenizer",
           Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}));
  Definition definition = parse_definition(to_string(json), "small.json");
  ASSERT_EQ(definition.splits.size(), 1u);
  EXPECT_EQ(definition.splits[0].regex, kGpt2Split);
  json.find("pre_tokenizer")->set("use_regex", false);
  EXPECT_TRUE(parse_definition(to_string(json), "small.json").splits.empty());
  json = good();
  split_of(json).set("behavior", "Removed").set("invert", true);
  EXPECT_TRUE(parse_definition(to_string(json), "small.json").splits[0].drop_gaps);
  split_of(json).set("pattern", Json::object({{"String", "a.b"}}));
  EXPECT_EQ(parse_definition(to_string(json), "small.json").splits[0].regex, "a\\.b");
}

TEST(Definition, AMissingFileIsNamed) {
  try {
    Tokenizer::load("/nonexistent");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/tokenizer.json"));
  }
}

}  // namespace
}  // namespace minimax::tokenizer
