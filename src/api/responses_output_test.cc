#include "api/responses_output.h"

#include <gtest/gtest.h>

#include "api/query.h"
#include "api/responses_store.h"
#include "api/sealed_thinking.h"
#include "api/test_context.h"

namespace minimax::api {
namespace {

chat::ParsedDelta delta(std::string reasoning, std::string content) {
  chat::ParsedDelta out;
  out.reasoning = std::move(reasoning);
  out.content = std::move(content);
  return out;
}

chat::ParsedDelta call(bool begins, std::string arguments) {
  chat::ParsedDelta out;
  chat::ToolCallDelta piece;
  piece.begins = begins;
  if (begins) piece.id = "call_1";
  if (begins) piece.name = "f";
  piece.arguments = std::move(arguments);
  out.calls.push_back(std::move(piece));
  return out;
}

TEST(ResponsesOutputTest, EventsAreNumberedAndFollowTheItems) {
  ResponseEvents events;
  ResponseOutput output("x", {.logprobs = false});
  output.add(delta("Hm", "Look"), Json::array(), events);
  output.add(call(true, "{\"a\":"), Json::array(), events);
  output.add(call(false, "1}"), Json::array(), events);
  EXPECT_EQ(*output.items().as_array()[2].find("status"), Json("in_progress"));
  output.close(true, events);
  std::string kinds;
  int64_t number = 0;
  for (const Event& event : events.take()) {
    const Json body = json(event.data);
    EXPECT_EQ(*body.find("sequence_number"), Json(number++));
    EXPECT_EQ(*body.find("type"), Json(event.name));
    kinds += event.name.substr(std::string("response.").size()) + " ";
  }
  EXPECT_EQ(
      kinds,
      "output_item.added reasoning_part.added reasoning_text.delta reasoning_text.done reasoning_part.done "
      "output_item.done output_item.added content_part.added output_text.delta output_text.done "
      "content_part.done output_item.done output_item.added function_call_arguments.delta "
      "function_call_arguments.delta function_call_arguments.done output_item.done ");
  EXPECT_EQ(to_string(output.items().as_array()[2]),
            R"({"id":"fc_x_2","type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}",)"
            R"("status":"completed"})");
}

TEST(ResponsesOutputTest, AnItemThatWasCutOffIsIncomplete) {
  ResponseEvents events;
  ResponseOutput output("x", {.logprobs = false});
  output.add(delta("Hm", ""), Json::array(), events);
  output.close(false, events);
  EXPECT_EQ(*output.items().as_array()[0].find("status"), Json("incomplete"));
}

std::shared_ptr<StoredResponse> stored(ResponseStore& store, const std::string& id) {
  return std::make_shared<StoredResponse>(id, false, ResponseIncludes{}, ResponseHistory{}, store.total());
}

TEST(ResponsesStoreTest, WhatRunsOrIsReadStaysAndAgeIsCounted) {
  ResponseStore store({1000, 10});
  store.put(stored(store, "a"), 0);  // has not ended: never evicted
  EXPECT_NE(store.find("a", 1'000'000'000), nullptr);
  EXPECT_EQ(store.find("b", 0), nullptr);
  EXPECT_NE(store.remove("a"), nullptr);
  EXPECT_EQ(store.remove("a"), nullptr);
  EXPECT_EQ(store.bytes(), 0);
}

void put_ended(ResponseStore& store, const std::string& id, size_t bytes, int64_t now_us) {
  std::shared_ptr<StoredResponse> response = stored(store, id);
  response->finish({std::string(bytes, 'x'), Json::Array{}});
  store.put(std::move(response), now_us);
}

TEST(ResponsesStoreTest, WhatRunsTakesNoneOfTheBudgetUntilItEnds) {
  ResponseStore store({10'000, 3600});
  put_ended(store, "old", 1000, 0);
  put_ended(store, "new", 1000, 1);
  const std::shared_ptr<StoredResponse> running = stored(store, "running");
  store.put(running, 2);
  running->keep_events(std::vector<Event>{Event(std::string(6000, 'e'))});
  EXPECT_NE(store.find("old", 3), nullptr);
  EXPECT_NE(store.find("new", 4), nullptr);
  running->finish({"{}", Json::Array{}});
  store.ended("running", 5);
  EXPECT_LE(store.bytes(), 10'000);
  EXPECT_EQ(store.find("old", 6), nullptr) << "used longest ago";
  EXPECT_NE(store.find("new", 6), nullptr);
  EXPECT_NE(store.find("running", 6), nullptr);
}

TEST(ResponsesStoreTest, TheAgeOfWhatRanIsCountedFromItsEnd) {
  ResponseStore store({10'000, 10});
  const std::shared_ptr<StoredResponse> running = stored(store, "a");
  store.put(running, 0);
  running->finish({"{}", Json::Array{}});
  store.ended("a", 100'000'000);
  EXPECT_NE(store.find("a", 105'000'000), nullptr);
  EXPECT_EQ(store.find("a", 116'000'000), nullptr);
}

TEST(ResponsesStoreTest, OneBeyondTheBudgetPushesNoOtherOut) {
  ResponseStore store({10'000, 3600});
  put_ended(store, "small", 1000, 0);
  put_ended(store, "large", 20'000, 1);
  EXPECT_EQ(store.find("large", 2), nullptr);
  EXPECT_NE(store.find("small", 2), nullptr);
  // In the background it is there as long as someone asks for it: its client has seen nothing of it yet.
  const std::shared_ptr<StoredResponse> running = stored(store, "running");
  store.put(running, 3);
  running->finish({std::string(20'000, 'x'), Json::Array{}});
  store.ended("running", 4);
  EXPECT_NE(store.find("small", 5), nullptr);
  EXPECT_NE(store.find("running", 6), nullptr);
}

TEST(ResponsesStoreTest, WhatIsAskedForIsTheLastToGo) {
  ResponseStore store({10'000, 3600});
  put_ended(store, "a", 3000, 0);
  const std::shared_ptr<StoredResponse> running = stored(store, "b");
  store.put(running, 1);
  put_ended(store, "c", 3000, 2);
  running->finish({std::string(3000, 'x'), Json::Array{}});  // beyond the budget now, and nobody has looked
  EXPECT_NE(store.find("a", 3), nullptr);
}

TEST(ResponsesStoreTest, BytesAreHeldAsLongAsSomeoneHoldsThem) {
  const auto total = std::make_shared<std::atomic<int64_t>>(0);
  {
    HeldBytes held(total);
    held.add(5);
    held.add(2);
    EXPECT_EQ(*total, 7);
  }
  EXPECT_EQ(*total, 0);
}

TEST(QueryTest, NamesAndValuesAreDecoded) {
  Query query("stream=true&starting_after=%34&empty&x=a+b");
  EXPECT_EQ(query.boolean("stream"), true);
  EXPECT_EQ(query.integer("starting_after"), 4);
  EXPECT_FALSE(query.boolean("absent"));
  EXPECT_EQ(Query("stream=True").boolean("stream"), true);
  EXPECT_EQ(Query("stream=False").boolean("stream"), false);
  EXPECT_FALSE(Query("stream=TRUE").boolean("stream"));
  EXPECT_EQ(Query("a=1&a[]=2&a%5B%5D=3&ab=4").strings("a"), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_TRUE(query.ok());
  EXPECT_FALSE(query.integer("x"));
  EXPECT_EQ(query.failure().param, "x");
}

TEST(ResponseOutputTest, ThinkingIsSealedIfAskedFor) {
  ResponseEvents events;
  ResponseOutput output("7", {.encrypted_content = true});
  chat::ParsedDelta delta;
  delta.reasoning = "Hm, \xe4\xb8\x96!";
  output.add(delta, Json::array(), events);
  EXPECT_EQ(*output.items().as_array()[0].find("encrypted_content"), Json());
  output.close(true, events);
  const Json item = output.items().as_array()[0];
  const std::string sealed = item.find("encrypted_content")->as_string();
  EXPECT_EQ(opened_thinking(sealed), "Hm, \xe4\xb8\x96!");
  EXPECT_EQ(response_of_item(item.find("id")->as_string()), "resp_7");
}

TEST(SealedThinkingTest, OpensWhatItSealedAndNothingElse) {
  std::string text;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(opened_thinking(sealed_thinking(text)), text);
    text += static_cast<char>('a' + i);
  }
  // RFC 4648, 10.
  EXPECT_EQ(sealed_thinking("foobar"), "minimax-1:Zm9vYmFy");
  EXPECT_EQ(sealed_thinking("foob"), "minimax-1:Zm9vYg==");
  for (const char* wrong : {"", "Zm9vYmFy", "minimax-1:Zm9v!mFy", "minimax-1:Zm9vYm",
                            "minimax-1:Zg==Zg==", "minimax-1:=m9v", "minimax-1:Z===", "minimax-1:/w=="})
    EXPECT_FALSE(opened_thinking(wrong)) << wrong;
}

}  // namespace
}  // namespace minimax::api
