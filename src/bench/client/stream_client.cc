#include "bench/client/stream_client.h"

#include <algorithm>
#include <optional>

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/error.h"
#include "bench/client/chunk.h"
#include "net/sse_reader.h"

namespace minimax::bench {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {
constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kErrorBodyBytesMax = 16 << 10;
constexpr size_t kEventBytesMax = 16 << 20;
// A server that has said all and does not end its answer is left alone with it.
constexpr auto kLinger = std::chrono::seconds(2);
}  // namespace

// One request and its stream. Kept alive by the handlers that wait for it.
class StreamClient::Call : public std::enable_shared_from_this<Call> {
 public:
  Call(StreamClient& client, std::string request, std::function<void(Outcome)> done)
      : client_(client), request_(std::move(request)), done_(std::move(done)) {}

  void begin() {
    start_us_ = heard_us_ = moved_us_ = client_.options_.clock_us();
    outcome_.start_s = static_cast<double>(start_us_) * 1e-6;
    if (!client_.idle_.empty()) {
      socket_.emplace(std::move(client_.idle_.back()));
      client_.idle_.pop_back();
      reused_ = true;
      return send();
    }
    connect();
  }

  void end(const std::string& error, bool interrupted = false) {
    if (ended_) return;
    outcome_.interrupted = interrupted;
    outcome_.error = error;
    finish(/*reusable=*/false);
  }

  int64_t moved_us() const { return moved_us_; }
  std::list<std::shared_ptr<Call>>::iterator place;

 private:
  void connect() {
    reused_ = false;
    socket_.emplace(client_.context_);
    error_code failed;
    socket_->open(client_.endpoints_.front().protocol(),
                  failed);  // async_connect would not say why it cannot
    if (failed) return end("no socket for another connection: " + failed.message() + " (ulimit -n)");
    asio::async_connect(*socket_, client_.endpoints_,
                        [self = shared_from_this()](error_code code, const asio::ip::tcp::endpoint&) {
                          if (self->ended_) return;
                          if (code) return self->end("cannot connect: " + code.message());
                          error_code ignored;
                          self->socket_->set_option(asio::ip::tcp::no_delay(true), ignored);
                          self->socket_->non_blocking(true, ignored);
                          self->send();
                        });
  }

  void send() {
    begin_answer();
    asio::async_write(*socket_, asio::buffer(request_), [self = shared_from_this()](error_code code, size_t) {
      if (self->ended_) return;
      // What the server says before it breaks off may still be read.
      if (code) return self->broken(code);
      self->wait();
    });
  }

  void begin_answer() {
    parser_.emplace();
    parser_->eager(true);
    parser_->body_limit(boost::none);
  }

  void wait() {
    socket_->async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](error_code code) {
      if (self->ended_) return;
      if (code) return self->broken(code);
      self->read();
    });
  }

  // Takes all that is there. The time is that of the moment in which the thread learns of it.
  void read() {
    while (!ended_) {
      error_code code;
      const size_t n = socket_->read_some(asio::buffer(client_.buffer_), code);
      if (code == asio::error::would_block) return wait();
      if (code) return broken(code);
      heard_us_ = client_.options_.clock_us();
      take(std::string_view(client_.buffer_.data(), n));
      if (n < client_.buffer_.size() && !ended_) return wait();
    }
  }

  void take(std::string_view data) {
    if (!rest_.empty()) {
      rest_ += data;
      data = rest_;
    }
    error_code code;
    while (!data.empty() && !parser_->is_done()) {
      const size_t n = parser_->put(asio::buffer(data.data(), data.size()), code);
      data.remove_prefix(n);
      if (code == http::error::need_more) {
        code = {};
        break;
      }
      if (code) break;
      if (parser_->is_done() && is_interim()) begin_answer();  // "100 Continue": the answer comes behind it
    }
    rest_ = std::string(data);
    if (parser_->is_header_done() && !is_interim()) take_body();
    if (ended_) return;
    if (code) return end("the answer is no HTTP/1.1: " + code.message());
    if (parser_->is_done()) return complete();
    if (stream_done_ && !reported_) linger();
  }

  bool is_interim() const {
    const unsigned status = parser_->get().result_int();
    return status >= 100 && status < 200 && status != 101;
  }

  void take_body() {
    std::string& body = parser_->get().body();
    if (parser_->get().result_int() != 200) {
      // The sentence is in the beginning.
      error_body_.append(body, 0, kErrorBodyBytesMax - std::min(error_body_.size(), kErrorBodyBytesMax));
    } else {
      if (first_bytes_.empty()) first_bytes_ = body.substr(0, 200);
      events_.push(body, [this](std::string_view data) { take_event(data); });
      if (parser_->is_done() && !ended_) events_.finish([this](std::string_view data) { take_event(data); });
      if (events_.pending() > kEventBytesMax && !ended_)
        end("an event of the stream has more than " + std::to_string(kEventBytesMax) + " bytes");
    }
    body.clear();
  }

  void take_event(std::string_view data) {
    if (ended_ || stream_done_) return;
    moved_us_ = heard_us_;  // comments are no news: servers send them while they have nothing to say
    if (data == "[DONE]") {
      stream_done_ = true;
      return;
    }
    const ChunkReader::Kind kind = client_.reader_.read(data, outcome_);
    if (kind == ChunkReader::Kind::kError) return end(outcome_.error);
    if (kind != ChunkReader::Kind::kChoices) return;
    ++client_.chunks_;
    if (last_us_ < 0) {
      outcome_.ttft_s = static_cast<double>(heard_us_ - start_us_) * 1e-6;
    } else {
      outcome_.itls_s.push_back(static_cast<double>(heard_us_ - last_us_) * 1e-6);
    }
    last_us_ = heard_us_;
  }

  void broken(error_code code) {
    const bool nothing_came = !parser_->got_some() && rest_.empty();
    // A server may close a connection it kept for a while; that says nothing of the request.
    if (reused_ && nothing_came) return connect();
    if (code == asio::error::eof && parser_->is_header_done()) {
      error_code bad;
      parser_->put_eof(bad);
      if (!bad) {
        events_.finish([this](std::string_view data) { take_event(data); });
        return ended_ ? void() : complete();
      }
    }
    if (stream_done_) return complete();
    end(last_us_ < 0 ? "the connection broke off before the first token: " + code.message()
                     : "the stream broke off: " + code.message());
  }

  void complete() {
    if (!reported_) judge();
    finish(parser_->is_done() && parser_->keep_alive() && rest_.empty());
  }

  // All that counts is here; the connection is kept until the answer ends, for the next request.
  void linger() {
    judge();
    report();
    lingering_.emplace(client_.context_, kLinger);
    lingering_->async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled && !self->ended_) self->finish(/*reusable=*/false);
    });
    client_.lingering_.push_back(weak_from_this());
  }

  void judge() {
    if (parser_->get().result_int() != 200) {
      outcome_.error = "HTTP " + std::to_string(parser_->get().result_int()) + ": " + sentence_of_status();
    } else if (last_us_ < 0) {
      outcome_.error = "no chunk with choices came; the answer began with: " + first_bytes_;
    } else {
      outcome_.success = true;
      outcome_.latency_s = static_cast<double>(last_us_ - start_us_) * 1e-6;
    }
  }

  std::string sentence_of_status() const {
    const std::string said = error_sentence(error_body_);
    const std::string elsewhere(parser_->get()[http::field::location]);
    if (!elsewhere.empty()) return "it points to " + elsewhere;
    return said.empty() ? std::string(parser_->get().reason()) : said;
  }

  void finish(bool reusable) {
    ended_ = true;
    if (reusable) {
      client_.idle_.push_back(std::move(*socket_));
    } else if (socket_) {
      error_code ignored;
      socket_->close(ignored);
    }
    if (lingering_) lingering_->cancel();
    if (!reported_) report();
  }

  void report() {
    reported_ = true;
    const auto keep = shared_from_this();
    client_.calls_.erase(place);
    asio::post(client_.context_, [done = std::move(done_), outcome = std::move(outcome_)]() mutable {
      done(std::move(outcome));
    });
  }

  StreamClient& client_;
  std::string request_;
  std::function<void(Outcome)> done_;
  std::optional<Socket> socket_;
  std::optional<http::response_parser<http::string_body>> parser_;
  net::SseReader events_;
  Outcome outcome_;
  std::string rest_;  // bytes the parser wants to see again, with more behind them
  std::string error_body_, first_bytes_;
  int64_t start_us_ = 0;
  int64_t heard_us_ = 0;  // when anything came last
  int64_t moved_us_ = 0;  // when an event came last
  int64_t last_us_ = -1;  // when the last chunk with choices came
  bool reused_ = false;
  std::optional<asio::steady_timer> lingering_;
  bool stream_done_ = false;
  bool reported_ = false;
  bool ended_ = false;
};

StreamClient::StreamClient(asio::io_context& context, StreamClientOptions options)
    : context_(context), options_(std::move(options)), buffer_(kReadBytes) {
  error_code code;
  asio::ip::tcp::resolver resolver(context_);
  for (const auto& entry : resolver.resolve(options_.url.host, options_.url.port, code)) {
    endpoints_.push_back(entry.endpoint());
  }
  if (code) throw Error("cannot find {}: {}", options_.url.host, code.message());
  if (endpoints_.empty()) throw Error("cannot find {}: it has no address", options_.url.host);
  head_ = "POST " + options_.url.path + options_.target + " HTTP/1.1\r\n";
  for (const auto& [name, value] : net::with_defaults(
           {{"Host", options_.url.authority()}, {"Content-Type", "application/json"}}, options_.headers))
    head_ += name + ": " + value + "\r\n";
}

StreamClient::~StreamClient() = default;

void StreamClient::start(std::string body, const net::HeaderList& more, std::function<void(Outcome)> done) {
  std::string request = head_;
  for (const auto& [name, value] : more) request += name + ": " + value + "\r\n";
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  const auto call = std::make_shared<Call>(*this, std::move(request), std::move(done));
  call->place = calls_.insert(calls_.end(), call);
  call->begin();
}

void StreamClient::end_lingering() {
  for (const std::weak_ptr<Call>& one : lingering_) {
    if (const std::shared_ptr<Call> call = one.lock()) call->end("");
  }
  lingering_.clear();
}

void StreamClient::interrupt() {
  while (!calls_.empty()) std::shared_ptr<Call>(calls_.front())->end("interrupted", true);
}

void StreamClient::end_stalled() {
  const int64_t since_us = options_.clock_us() - static_cast<int64_t>(options_.stall_timeout_s * 1e6);
  for (auto it = calls_.begin(); it != calls_.end();) {
    const std::shared_ptr<Call> call = *it++;
    if (call->moved_us() < since_us) {
      call->end("the server sent nothing for " +
                std::to_string(static_cast<int64_t>(options_.stall_timeout_s)) + " s (--stall-timeout)");
    }
  }
}

int64_t StreamClient::running() const {
  return static_cast<int64_t>(calls_.size());
}

}  // namespace minimax::bench
