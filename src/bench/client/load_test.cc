#include "bench/client/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/client/metrics.h"
#include "bench/client/test_scripted_server.h"

namespace minimax::bench {
namespace {

using Server = ScriptedServer;
using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Runs `count` scripts against the steps; all are sent at once unless `concurrency` says otherwise.
LoadResult run(std::vector<Server::Step> steps, std::vector<Script> scripts, int64_t concurrency = 0,
               std::vector<std::string>* requests = nullptr, double stall_timeout_s = 600,
               bool chat = false) {
  boost::asio::io_context context(1);
  Server server(context, std::move(steps));
  StreamClientOptions options = server.client_options();
  options.stall_timeout_s = stall_timeout_s;
  StreamClient client(context, options);
  server.watch(client);
  LoadOptions load;
  load.arrivals_s.resize(scripts.size());
  load.request_id_prefix = "r";
  load.concurrency_max = concurrency;
  load.progress_every_s = 0.002;
  load.on_progress = [&](const Progress& progress) {
    if (progress.done == progress.total) server.stop();
  };
  load.body.model = "m";
  load.body.chat = chat;
  LoadResult result = run_load(context, client, scripts, load, options.clock_us);
  if (requests != nullptr) *requests = server.requests();
  return result;
}

std::vector<Script> scripts(size_t count) {
  std::vector<Script> out(count);
  for (Script& script : out) {
    script.prompt = "p";
    script.input_tokens = 3;
    script.output_tokens = 9;
  }
  return out;
}

// Request 0: three chunks, a token each. Request 1: two chunks of five tokens together.
std::vector<Server::Step> two_streams() {
  return {{0, 0, Server::head(), 0},
          {0, 1, Server::head(), 0},
          {100'000, 0, Server::token("a"), 1},
          {120'000, 1, Server::token("b"), 1},
          {150'000, 0, Server::token("c"), 1},
          {250'001, 0, Server::token("d"), 1},
          {1'320'000, 1, Server::token("e"), 1},
          {1'320'000, 0, Server::usage(5, 3) + Server::end(), 0},
          {1'320'000, 1, Server::usage(7, 5) + Server::end(), 0}};
}

TEST(Load, MeasuresWhatTheScriptSaysToTheMicrosecond) {
  const LoadResult result = run(two_streams(), scripts(2));
  ASSERT_EQ(result.outcomes.size(), 2u);
  const Outcome& first = result.outcomes[0];
  EXPECT_TRUE(first.success) << first.error;
  EXPECT_DOUBLE_EQ(first.start_s, 0);
  EXPECT_DOUBLE_EQ(first.ttft_s, 0.1);
  EXPECT_DOUBLE_EQ(first.latency_s, 0.250001);
  EXPECT_THAT(first.itls_s, ElementsAre(DoubleEq(0.05), DoubleEq(0.100001)));
  EXPECT_EQ(first.text, "acd");
  EXPECT_EQ(first.input_tokens, 5);
  EXPECT_EQ(first.output_tokens, 3);
  EXPECT_THAT(result.outcomes[1].itls_s, ElementsAre(DoubleEq(1.2)));
}

TEST(Load, FormulasOfThePeerOverAScriptedServer) {
  const LoadResult result = run(two_streams(), scripts(2));
  MetricOptions options;
  options.percentiles = {50, 100};
  options.good_e2el_ms = 500;
  const ServeMetrics m = serve_metrics(result.outcomes, result.duration_s, options);
  EXPECT_EQ(m.completed, 2);
  EXPECT_EQ(m.failed, 0);
  EXPECT_EQ(m.input_tokens, 12);
  EXPECT_EQ(m.output_tokens, 8);
  EXPECT_DOUBLE_EQ(m.duration_s, 1.32);
  EXPECT_DOUBLE_EQ(m.request_throughput, 2 / 1.32);
  EXPECT_DOUBLE_EQ(*m.request_goodput, 1 / 1.32);
  EXPECT_DOUBLE_EQ(m.output_throughput, 8 / 1.32);
  EXPECT_DOUBLE_EQ(m.total_throughput, 20 / 1.32);
  EXPECT_DOUBLE_EQ(m.max_output_tokens_per_s, 4);  // chunks of the first second
  EXPECT_EQ(m.max_concurrent_requests, 2);
  EXPECT_NEAR(m.ttft_ms.mean, 110, 1e-9);
  EXPECT_NEAR(m.ttft_ms.std, 10, 1e-9);
  EXPECT_NEAR(m.tpot_ms.mean, (150.001 / 2 + 1200.0 / 4) / 2, 1e-9);
  EXPECT_NEAR(m.itl_ms.median, 100.001, 1e-9);
  EXPECT_NEAR(m.e2el_ms.percentiles[1], 1320, 1e-9);
}

TEST(Load, AChunkCutAnywhereIsTheSame) {
  std::string all = Server::head() + Server::token("a") + Server::usage(5, 1) + Server::end();
  for (size_t cut = 1; cut < all.size(); cut += 7) {
    const LoadResult result =
        run({{5'000, 0, all.substr(0, cut), 0}, {5'000, 0, all.substr(cut), 0}}, scripts(1));
    ASSERT_TRUE(result.outcomes[0].success) << cut << result.outcomes[0].error;
    EXPECT_EQ(result.outcomes[0].text, "a");
    EXPECT_DOUBLE_EQ(result.outcomes[0].ttft_s, 0.005);
  }
}

TEST(Load, TheLimitOfConcurrencyHoldsAndConnectionsAreUsedAgain) {
  const std::string answer = Server::token("a") + Server::usage(1, 1) + Server::end();
  const LoadResult result =
      run({{10'000, 0, Server::head() + answer, 1}, {30'000, 1, Server::head() + answer, 1}}, scripts(2),
          /*concurrency=*/1);
  ASSERT_EQ(result.outcomes.size(), 2u);
  EXPECT_DOUBLE_EQ(result.outcomes[1].start_s, 0.01);
  EXPECT_DOUBLE_EQ(result.outcomes[1].ttft_s, 0.02);
}

TEST(Load, ARefusalFailsWithTheServersSentence) {
  const std::string body = "{\"error\": {\"message\": \"too long\"}}";
  const LoadResult result =
      run({{0, 0, Server::head("400 Bad Request") + Server::http_chunk(body) + "0\r\n\r\n", 0}}, scripts(1));
  EXPECT_FALSE(result.outcomes[0].success);
  EXPECT_EQ(result.outcomes[0].error, "HTTP 400: too long");
}

TEST(Load, AnErrorInTheStreamFails) {
  const LoadResult result = run({{0, 0, Server::head() + Server::token("a"), 1},
                                 {1, 0, Server::event("{\"error\": {\"message\": \"lost\"}}"), 0}},
                                scripts(1));
  EXPECT_EQ(result.outcomes[0].error, "lost");
}

TEST(Load, AStreamThatBreaksOffFailsAndTheOthersGoOn) {
  const LoadResult result = run({{0, 0, Server::head() + Server::token("a"), 1, /*close=*/true},
                                 {1, 1, Server::head() + Server::token("a") + Server::end(), 1}},
                                scripts(2));
  EXPECT_THAT(result.outcomes[0].error, HasSubstr("broke off"));
  EXPECT_TRUE(result.outcomes[1].success);
}

TEST(Load, AnAnswerWithoutTokensFails) {
  const LoadResult result = run({{0, 0, Server::head() + Server::end(), 0}}, scripts(1));
  EXPECT_THAT(result.outcomes[0].error, HasSubstr("no chunk with choices"));
}

TEST(Load, AServerThatStallsFailsAfterTheLimit) {
  const LoadResult result = run({{0, 0, Server::head() + Server::token("a"), 1}, {9'000'000, 0, "", 0}},
                                scripts(1), 0, nullptr, /*stall_timeout_s=*/5);
  EXPECT_THAT(result.outcomes[0].error, HasSubstr("--stall-timeout"));
}

TEST(Load, RequestsAreThoseOfThePeer) {
  std::vector<std::string> requests;
  run({{0, 0, Server::head() + Server::token("a") + Server::end(), 1}}, scripts(1), 0, &requests);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_THAT(requests[0], HasSubstr("POST /v1/completions HTTP/1.1\r\n"));
  EXPECT_THAT(requests[0], HasSubstr("X-Request-Id: r0\r\n"));
  EXPECT_THAT(requests[0],
              HasSubstr(R"({"model":"m","prompt":"p","max_tokens":9,"repetition_penalty":1.0,"stream":true,)"
                        R"("stream_options":{"include_usage":true}})"));
}

TEST(Load, AnExtraMemberWinsAndNullTakesOneOut) {
  BodyOptions options;
  options.model = "m";
  options.extra = Json::object({{"repetition_penalty", nullptr}, {"max_tokens", 7}});
  EXPECT_EQ(
      request_body(options, scripts(1)[0]),
      R"({"model":"m","prompt":"p","max_tokens":7,"stream":true,"stream_options":{"include_usage":true}})");
}

TEST(Load, ASessionSendsBackTheAnswerAndTheToolsResult) {
  std::vector<Script> session = scripts(1);
  session[0].follow_ups.push_back({.text = "sunny", .think_s = 0, .output_tokens = 4});
  const std::string call =
      Server::event(R"({"choices": [{"delta": {"reasoning": "hm", "tool_calls": [{"index": 0, "id": "c1",)"
                    R"( "function": {"name": "f", "arguments": "{\"a\""}}]}}]})");
  const std::string rest = Server::event(
      R"({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}]})");
  std::vector<std::string> requests;
  const LoadResult result = run({{10, 0, Server::head() + call + rest + Server::end(), 2},
                                 {20, 1, Server::head() + Server::token("a") + Server::end(), 1}},
                                session, 1, &requests, 600, /*chat=*/true);
  ASSERT_EQ(result.outcomes.size(), 2u);
  EXPECT_EQ(result.outcomes[1].turn, 1u);
  EXPECT_THAT(requests[1],
              HasSubstr(R"("reasoning":"hm","tool_calls":[{"id":"c1","type":"function","function":)"
                        R"({"name":"f","arguments":"{\"a\": 1}"}}]})"));
  EXPECT_THAT(requests[1], HasSubstr(R"({"role":"tool","tool_call_id":"c1","content":"sunny"})"));
}

}  // namespace
}  // namespace minimax::bench
