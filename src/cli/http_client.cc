#include "cli/http_client.h"

#include <array>
#include <csignal>
#include <optional>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/error.h"

namespace minimax::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

// One exchange. Everything runs in `context_` on the calling thread; SIGINT is one more event in it.
class Exchange {
 public:
  Exchange(const Url& url, const std::function<void(int, std::string_view)>& on_piece)
      : url_(url), on_piece_(on_piece), socket_(context_), signals_(context_, SIGINT) {}

  HttpReply run(http::request<http::string_body> request) {
    request_ = std::move(request);
    signals_.async_wait([this](error_code code, int) {
      if (code) return;
      reply_.interrupted = true;
      error_code ignored;
      socket_.close(ignored);
    });
    error_code code;
    asio::ip::tcp::resolver resolver(context_);
    const auto endpoints = resolver.resolve(url_.host, url_.port, code);
    if (code) throw Error("cannot find {}: {}", url_.host, code.message());
    asio::async_connect(socket_, endpoints, [this](error_code failed, const asio::ip::tcp::endpoint&) {
      if (failed) return fail(failed);
      http::async_write(socket_, request_, [this](error_code broken, size_t) {
        if (broken) return fail(broken);
        parser_.body_limit(boost::none);
        http::async_read_header(socket_, buffer_, parser_, [this](error_code bad, size_t) {
          if (bad) return fail(bad);
          reply_.status = parser_.get().result_int();
          read_more();
        });
      });
    });
    context_.run();
    if (failure_ && !reply_.interrupted)
      throw Error("http://{}:{}: {}", url_.host, url_.port, failure_.message());
    return reply_;
  }

 private:
  void fail(error_code code) {
    failure_ = code;
    signals_.cancel();
  }

  void read_more() {
    if (parser_.is_done()) {
      signals_.cancel();
      return;
    }
    parser_.get().body().data = piece_.data();
    parser_.get().body().size = piece_.size();
    http::async_read_some(socket_, buffer_, parser_, [this](error_code code, size_t) {
      if (code == http::error::need_buffer) code = {};
      const size_t got = piece_.size() - parser_.get().body().size;
      if (got > 0) on_piece_(reply_.status, std::string_view(piece_.data(), got));
      if (code) return fail(code);
      read_more();
    });
  }

  const Url& url_;
  const std::function<void(int, std::string_view)>& on_piece_;
  asio::io_context context_;
  asio::ip::tcp::socket socket_;
  asio::signal_set signals_;
  http::request<http::string_body> request_;
  boost::beast::flat_buffer buffer_;
  http::response_parser<http::buffer_body> parser_;
  std::array<char, 4096> piece_;
  HttpReply reply_;
  error_code failure_;
};

}  // namespace

HttpReply http_request(const Url& url, std::string_view target, std::string_view body, const Headers& headers,
                       const std::function<void(int, std::string_view)>& on_piece) {
  http::request<http::string_body> request(body.empty() ? http::verb::get : http::verb::post,
                                           url.path + std::string(target), 11);
  request.set(http::field::host, url.host + ":" + url.port);
  request.set(http::field::user_agent, "minimax");
  for (const auto& [name, value] : headers) request.set(name, value);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  return Exchange(url, on_piece).run(std::move(request));
}

}  // namespace minimax::cli
