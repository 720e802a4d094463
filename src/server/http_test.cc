#include "server/http.h"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "api/errors.h"
#include "base/json.h"
#include "server/test_client.h"

namespace minimax::server {
namespace {

using namespace std::chrono_literals;

// An answer played by the test: what is pushed is what the client gets.
class Script {
 public:
  explicit Script(bool streams) : streams_(streams) {}

  void push(std::string event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    notify();
  }
  void finish() {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
    }
    notify();
  }
  bool wait_started() {
    return wait([this] { return notify_ != nullptr; });
  }
  bool wait_destroyed() {
    return wait([this] { return destroyed_; });
  }
  bool destroyed() {
    const std::lock_guard lock(mutex_);
    return destroyed_;
  }
  int64_t untaken() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(events_.size());
  }
  void notify() {
    api::Notify notify;
    {
      const std::lock_guard lock(mutex_);
      notify = notify_;
    }
    if (notify) notify();
  }

 private:
  friend class ScriptedPending;
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, condition);
  }

  const bool streams_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  api::Notify notify_;
  bool finished_ = false;
  bool destroyed_ = false;
};

class ScriptedPending : public api::Pending {
 public:
  ScriptedPending(Script& script, api::Notify notify) : script_(script) {
    const std::lock_guard lock(script_.mutex_);
    script_.notify_ = std::move(notify);
    script_.changed_.notify_all();
  }
  ~ScriptedPending() override {
    const std::lock_guard lock(script_.mutex_);
    script_.destroyed_ = true;
    script_.changed_.notify_all();
  }
  bool streams() const override { return script_.streams_; }
  bool poll(std::vector<api::Event>& events) override {
    const std::lock_guard lock(script_.mutex_);
    if (script_.streams_) {
      for (std::string& event : script_.events_) events.emplace_back(std::move(event));
      script_.events_.clear();
    }
    return !script_.finished_;
  }
  api::Reply reply() override {
    api::Reply reply;
    reply.body = "{\"late\":true}";
    return reply;
  }

 private:
  Script& script_;
};

// GET /echo answers method and body; /stream and /late play the script; /throw throws.
class HttpTest : public testing::Test {
 protected:
  void serve(Options options = {}) {
    options.port = 0;
    const auto handler = [this](Request request, api::Notify notify) -> Response {
      ++requests_;
      if (request.target == "/throw") throw std::runtime_error("as told");
      if (request.target == "/stream")
        return {std::make_unique<ScriptedPending>(stream_, std::move(notify)), {}};
      if (request.target == "/late") return {std::make_unique<ScriptedPending>(late_, std::move(notify)), {}};
      api::Reply reply;
      reply.body = request.method + " " + request.target + " " + std::to_string(request.body.size());
      const std::string* echoed = request.header("x-echo");
      return {std::move(reply), {{"x-extra", echoed != nullptr ? *echoed : "none"}}};
    };
    server_ = std::make_unique<Server>(options, handler, gate_);
    thread_ = std::thread([this] { drained_ = server_->run(); });
  }
  void TearDown() override {
    if (server_) server_->stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  bool wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;  // asked once: the condition may have effects
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  Gate gate_;
  Script stream_{true}, late_{false};
  std::atomic<int> requests_{0};
  std::atomic<bool> drained_{false};
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

std::string message_of(const TestReply& reply) {
  const Result<Json> body = parse_json(reply.body);
  if (!body.ok() || body->find("error") == nullptr) return "no error object: " + reply.body;
  return body->find("error")->find("message")->as_string();
}

TEST_F(HttpTest, KeepsTheConnectionForTheNextRequest) {
  serve();
  TestClient client(server_->port());
  EXPECT_EQ(client.get("/a").body, "GET /a 0");
  const TestReply second = client.post("/b", "hello");
  EXPECT_EQ(second.body, "POST /b 5");
  EXPECT_EQ(second.headers.at("content-type"), "application/json");
  EXPECT_TRUE(second.headers.contains("date"));
}

TEST_F(HttpTest, AnswersPipelinedRequestsInTheirOrder) {
  serve();
  TestClient client(server_->port());
  std::string all;
  for (int i = 0; i < 200; ++i) {
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  }
  client.send(all);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.reply().body, "POST /" + std::to_string(i) + " 3");
}

// A client that sends its next request the moment it has the last byte of a stream.
TEST_F(HttpTest, ARequestReadAheadDoesNotSpoilTheOneAfterIt) {
  serve();
  TestClient client(server_->port());
  const std::string ahead = "POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  client.send(ahead);
  std::this_thread::sleep_for(100ms);  // until the server has read it, and waits for more
  stream_.finish();
  client.reply();
  EXPECT_EQ(client.reply().body, "POST /two 3");
  EXPECT_EQ(client.get("/three").body, "GET /three 0");
  EXPECT_EQ(client.get("/four").body, "GET /four 0");
}

TEST_F(HttpTest, TakesARequestByteByByte) {
  serve();
  TestClient client(server_->port());
  for (const char c : std::string("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")) {
    client.send(std::string(1, c));
  }
  EXPECT_EQ(client.reply().body, "POST /x 2");
}

TEST_F(HttpTest, RefusesWhatIsNoHttp) {
  serve();
  for (const char* line :
       {"hello\r\n\r\n", "GET / HTTP/3.7\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET  / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\x01: c\r\n\r\n"}) {
    TestClient client(server_->port());
    client.send(line);
    const TestReply reply = client.reply();
    EXPECT_EQ(reply.status, 400) << line;
    EXPECT_NE(message_of(reply).find("no HTTP/1.1 request"), std::string::npos) << message_of(reply);
    EXPECT_EQ(reply.headers.at("connection"), "close");
    EXPECT_TRUE(client.closes()) << line;
  }
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpTest, RefusesTwoWaysToSayHowLongTheBodyIs) {
  serve();
  for (const char* headers :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: -1\r\n", "Content-Length: 99999999999999999999999\r\n"}) {
    TestClient client(server_->port());
    client.send(std::string("POST / HTTP/1.1\r\nHost: x\r\n") + headers + "\r\nabc");
    const int status = client.reply().status;
    EXPECT_TRUE(status == 400 || status == 413) << headers << status;
  }
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpTest, LimitsHeaders) {
  Options options;
  options.header_bytes_max = 2000;
  serve(options);
  for (const bool ended : {true, false}) {
    TestClient client(server_->port());
    client.send("GET / HTTP/1.1\r\nX: " + std::string(5000, 'a') + (ended ? "\r\n\r\n" : ""));
    const TestReply reply = client.reply();
    EXPECT_EQ(reply.status, 431);
    EXPECT_NE(message_of(reply).find("larger than 2000 bytes, the limit"), std::string::npos)
        << message_of(reply);
    EXPECT_TRUE(client.closes());
  }
}

TEST_F(HttpTest, LimitsBodiesWhicheverWayTheyCome) {
  Options options;
  options.body_bytes_max = 1000;
  serve(options);
  TestClient fits(server_->port());
  EXPECT_EQ(fits.post("/", std::string(1000, 'x')).body, "POST / 1000");
  TestClient told(server_->port());
  told.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  const TestReply reply = told.reply();
  EXPECT_EQ(reply.status, 413);
  EXPECT_NE(message_of(reply).find("1000 bytes (--max-request-bytes)"), std::string::npos)
      << message_of(reply);
  TestClient chunked(server_->port());
  chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 11; ++i) chunked.send("64\r\n" + std::string(100, 'x') + "\r\n");
  EXPECT_EQ(chunked.reply().status, 413);
}

TEST_F(HttpTest, AClientThatSendsOnSeesTheRefusal) {
  Options options;
  options.body_bytes_max = 1000;
  serve(options);
  TestClient client(server_->port());
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
  client.send(std::string(4000000, 'x'));
  EXPECT_EQ(client.reply().status, 413);
}

TEST_F(HttpTest, LimitsTheBodiesOfAllRequestsTogether) {
  Options options;
  options.held_body_bytes_max = 5000;
  serve(options);
  std::optional<TestClient> first;
  // The first has as good as come once a request of the rest is refused; if that one came before, the first
  // was.
  EXPECT_TRUE(wait_for([&] {
    first.emplace(server_->port());
    first->send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n" + std::string(3000, 'x'));
    TestClient second(server_->port());
    const TestReply reply = second.post("/", std::string(2001, 'x'));
    return reply.status == 503 && reply.headers.contains("retry-after") &&
           message_of(reply).find("5000 (--max-held-request-bytes)") != std::string::npos &&
           !first->receive(std::chrono::milliseconds(100));
  }));
  EXPECT_EQ(TestClient(server_->port()).post("/", std::string(1000, 'x')).status, 200);
  first->send(std::string(1000, 'x'));
  EXPECT_EQ(first->reply().status, 200);
  // What was answered, or broken off, is held no more.
  EXPECT_EQ(TestClient(server_->port()).post("/", std::string(5000, 'x')).status, 200);
  TestClient broken(server_->port());
  broken.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n" + std::string(3000, 'x'));
  broken.reset();
  EXPECT_TRUE(
      wait_for([&] { return TestClient(server_->port()).post("/", std::string(5000, 'x')).status == 200; }));
}

TEST_F(HttpTest, TheGateRefusesBeforeTheBodyComes) {
  gate_ = [](const Request& head) -> std::optional<Response> {
    if (head.header("x-key") != nullptr) return {};
    return Response{api::error_reply(401, "No key."), {}};
  };
  serve();
  TestClient stranger(server_->port());
  stranger.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n");
  EXPECT_EQ(stranger.reply().status, 401);
  EXPECT_TRUE(stranger.closes());
  TestClient waits(server_->port());
  waits.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(waits.reply().status, 401);
  TestClient whole(server_->port());
  EXPECT_EQ(whole.get("/").status, 401);
  EXPECT_EQ(whole.get("/", "x-key: 1\r\n").status, 200) << "the connection goes on";
  EXPECT_EQ(requests_, 1);
}

TEST_F(HttpTest, AClientThatSendsNoMoreGetsItsReply) {
  serve();
  TestClient client(server_->port());
  client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  client.end_sending();
  EXPECT_EQ(client.reply().body, "GET /a 0");
  EXPECT_EQ(client.reply().body, "GET /b 0");
  EXPECT_TRUE(client.closes());
  EXPECT_TRUE(wait_for([&] { return server_->open_connections() == 0; }));
}

TEST_F(HttpTest, TakesAChunkedBody) {
  serve();
  TestClient client(server_->port());
  client.send(
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
      "world\r\n0\r\n\r\n");
  EXPECT_EQ(client.reply().body, "POST /c 11");
}

TEST_F(HttpTest, SaysContinueToThoseWhoAsk) {
  Options options;
  options.body_bytes_max = 1000;
  serve(options);
  TestClient client(server_->port());
  client.send("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(client.receive_until("HTTP/1.1 100 Continue\r\n\r\n"));
  EXPECT_EQ(client.reply().status, 100);
  client.send("hello");
  EXPECT_EQ(client.reply().body, "POST /e 5");
  TestClient large(server_->port());
  large.send("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(large.reply().status, 413);
}

TEST_F(HttpTest, DoesNotWaitForeverForARequest) {
  Options options;
  options.request_timeout_s = 0.2;
  serve(options);
  for (const char* begun : {"GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"}) {
    TestClient client(server_->port());
    client.send(begun);
    const TestReply reply = client.reply();
    EXPECT_EQ(reply.status, 408);
    EXPECT_NE(message_of(reply).find("0.2 seconds (--request-timeout)"), std::string::npos)
        << message_of(reply);
    EXPECT_TRUE(client.closes());
  }
}

TEST_F(HttpTest, ADripDoesNotProlongTheTime) {
  Options options;
  options.request_timeout_s = 0.3;
  serve(options);
  TestClient client(server_->port());
  const auto begun = std::chrono::steady_clock::now();
  client.send("GET / HTTP/1.1\r\n");
  while (client.send("X: y\r\n") && client.input().empty()) client.receive(20ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_EQ(client.reply().status, 408);
}

TEST_F(HttpTest, ClosesAnIdleConnection) {
  Options options;
  options.idle_timeout_s = 0.1;
  serve(options);
  TestClient fresh(server_->port());
  EXPECT_TRUE(fresh.closes());
  TestClient used(server_->port());
  EXPECT_EQ(used.get("/").status, 200);
  EXPECT_TRUE(used.closes());
  EXPECT_TRUE(used.input().empty());
}

TEST_F(HttpTest, LimitsConnections) {
  Options options;
  options.connections_max = 2;
  serve(options);
  TestClient a(server_->port()), b(server_->port());
  EXPECT_EQ(a.get("/").status, 200);
  EXPECT_EQ(b.get("/").status, 200);
  {
    TestClient c(server_->port());
    const TestReply reply = c.reply();
    EXPECT_EQ(reply.status, 503);
    EXPECT_NE(message_of(reply).find("(connections_max)"), std::string::npos);
  }
  a.close();
  EXPECT_TRUE(wait_for([&] { return TestClient(server_->port()).get("/").status == 200; }));
}

TEST_F(HttpTest, HeadHasTheHeadersOfGetAndNoBody) {
  serve();
  TestClient client(server_->port());
  client.send("HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n");
  const TestReply reply = client.reply(true);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-length"), "9");
  EXPECT_EQ(client.get("/next").body, "GET /next 0");
}

TEST_F(HttpTest, AnOldClientGetsItsAnswerAndTheEnd) {
  serve();
  TestClient client(server_->port());
  client.send("GET /old HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.reply().body, "GET /old 0");
  EXPECT_TRUE(client.closes());
  TestClient stream(server_->port());
  stream.send("GET /stream HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  stream_.push("one");
  stream_.finish();
  EXPECT_TRUE(stream.closes());
  EXPECT_NE(stream.input().find("\r\n\r\ndata: one\n\n"), std::string::npos) << stream.input();
}

TEST_F(HttpTest, AHandlerThatThrowsIsA500AndNothingMore) {
  serve();
  TestClient client(server_->port());
  EXPECT_EQ(client.get("/throw").status, 500);
  EXPECT_EQ(client.get("/after").status, 200);
}

TEST_F(HttpTest, AHeaderValueCannotSmuggleHeaders) {
  serve();
  TestClient client(server_->port());
  const TestReply reply = client.get("/", "X-Echo: a\tb\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.headers.contains("x-extra"));
}

TEST_F(HttpTest, StreamsEventsAsTheyCome) {
  serve();
  TestClient client(server_->port());
  client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  stream_.push("first");
  ASSERT_TRUE(client.receive_until("data: first\n\n"));  // before anything else is known
  stream_.push("two\nlines");
  stream_.push("[DONE]");
  stream_.finish();
  const TestReply reply = client.reply();
  EXPECT_EQ(reply.body, "data: first\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n");
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(reply.headers.at("cache-control"), "no-cache");
  EXPECT_EQ(reply.headers.at("x-accel-buffering"), "no");
  EXPECT_TRUE(stream_.wait_destroyed());
  EXPECT_EQ(client.get("/next").status, 200);  // the connection lives on
}

TEST_F(HttpTest, AnswersLateWithOneReply) {
  serve();
  TestClient client(server_->port());
  client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(late_.wait_started());
  late_.notify();
  late_.finish();
  EXPECT_EQ(client.reply().body, "{\"late\":true}");
}

TEST_F(HttpTest, AClientThatGoesEndsItsAnswer) {
  serve();
  TestClient closed(server_->port());
  closed.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  stream_.push("one");
  ASSERT_TRUE(closed.receive_until("data: one"));
  closed.close();
  EXPECT_TRUE(stream_.wait_destroyed());
  TestClient reset(server_->port());
  reset.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(late_.wait_started());
  reset.reset();
  EXPECT_TRUE(late_.wait_destroyed());
  stream_.push("nobody listens");  // a notification after the end is harmless
  late_.finish();
  EXPECT_TRUE(wait_for([&] { return server_->open_connections() == 0; }));
}

TEST_F(HttpTest, AClientThatReadsSlowlyHoldsBackItsOwnStreamOnly) {
  Options options;
  options.unsent_bytes_max = 64 << 10;
  serve(options);
  TestClient slow(server_->port(), 4096);
  slow.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  const std::string event(1000, 'e');
  // More than the kernel's buffers and ours take: then the rest stays where it is.
  for (int i = 0; i < 20000 && stream_.untaken() < 500; ++i) stream_.push(event);
  EXPECT_TRUE(wait_for([&] {
    stream_.push(event);
    return stream_.untaken() >= 500;
  }));
  TestClient other(server_->port());
  EXPECT_EQ(other.get("/quick").status, 200);
  stream_.finish();
  const TestReply reply = slow.reply();  // it reads after all, and nothing was lost
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body.size() % 1008, 0u);
  EXPECT_EQ(stream_.untaken(), 0);
}

TEST_F(HttpTest, AClientThatNeverReadsIsGivenUp) {
  Options options;
  options.write_timeout_s = 0.3;
  options.unsent_bytes_max = 64 << 10;
  serve(options);
  TestClient slow(server_->port(), 4096);
  slow.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  // Until the kernel's buffers are full; from then on no byte is taken.
  EXPECT_TRUE(wait_for([&] {
    for (int i = 0; i < 1000; ++i) stream_.push(std::string(1000, 'e'));
    return stream_.destroyed();
  }));
  EXPECT_TRUE(wait_for([&] { return server_->open_connections() == 0; }));
}

TEST_F(HttpTest, DrainingFinishesWhatIsOpenAndTakesNothingNew) {
  serve();
  TestClient idle(server_->port());
  EXPECT_EQ(idle.get("/").status, 200);
  TestClient busy(server_->port());
  busy.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  stream_.push("one");
  ASSERT_TRUE(busy.receive_until("data: one"));
  server_->drain();
  EXPECT_TRUE(idle.closes());
  EXPECT_TRUE(wait_for([&] { return !TestClient(server_->port()).connected(); }));
  stream_.push("two");
  stream_.finish();
  EXPECT_EQ(busy.reply().body, "data: one\n\ndata: two\n\n");
  busy.close();
  thread_.join();
  EXPECT_TRUE(drained_);
}

TEST_F(HttpTest, AFailedServerAnswersForAMomentAndThenEnds) {
  serve();
  const auto start = std::chrono::steady_clock::now();
  server_->fail();
  server_->fail();
  TestClient asking(server_->port());
  EXPECT_EQ(asking.get("/").status, 200);
  thread_.join();
  EXPECT_FALSE(drained_);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(HttpTest, DrainingEndsAfterItsTime) {
  Options options;
  options.shutdown_timeout_s = 0.2;
  serve(options);
  TestClient busy(server_->port());
  busy.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(stream_.wait_started());
  server_->drain();
  thread_.join();
  EXPECT_FALSE(drained_);
  server_.reset();
  EXPECT_TRUE(stream_.wait_destroyed());
  stream_.push("after the end");  // the engine may be slower than the server
}

TEST(HttpSignals, OneBetweenListeningAndRunningIsKept) {
  Options options;
  options.port = 0;
  options.handle_signals = true;
  Server server(options, [](Request, api::Notify) -> Response { return {api::Reply{}, {}}; });
  ASSERT_EQ(std::raise(SIGTERM), 0);
  EXPECT_TRUE(server.run());
}

TEST_F(HttpTest, ServesManyConnectionsAtOnce) {
  Options options;
  options.io_threads = 3;
  serve(options);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::unique_ptr<TestClient>> clients;
      for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<TestClient>(server_->port()));
      for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < clients.size(); ++i) {
          clients[i]->send("GET /" + std::to_string(t) + " HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for (auto& client : clients)
          right += client->reply().body == "GET /" + std::to_string(t) + " 0" ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8 * 40 * 3);
}

TEST_F(HttpTest, SurvivesClientsThatBreakOffAnywhere) {
  serve();
  const std::string request = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789";
  for (size_t cut = 0; cut <= request.size(); ++cut) {
    TestClient client(server_->port());
    client.send(request.substr(0, cut));
    if (cut % 2 == 0) client.reset();
  }
  EXPECT_EQ(TestClient(server_->port()).get("/").status, 200);
  EXPECT_TRUE(wait_for([&] { return server_->open_connections() == 0; }));
}

TEST(HttpStartTest, APortInUseIsAnErrorThatNamesIt) {
  Options options;
  options.port = 0;
  const Handler handler = [](Request, api::Notify) { return Response{api::Reply{}, {}}; };
  Server first(options, handler);
  options.port = first.port();
  try {
    Server second(options, handler);
    FAIL() << "bound twice";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(first.port())), std::string::npos)
        << error.what();
  }
  // Every address of the name is listened at, so one that is taken is enough to fail.
  options.host = "localhost";
  EXPECT_ANY_THROW(Server(options, handler));
  options.host = "no.such.host.invalid";
  EXPECT_ANY_THROW(Server(options, handler));
}

}  // namespace
}  // namespace minimax::server
