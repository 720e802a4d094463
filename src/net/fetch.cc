#include "net/fetch.h"

#include <algorithm>
#include <chrono>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace minimax::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

HeaderList with_defaults(HeaderList defaults, const HeaderList& own) {
  std::erase_if(defaults, [&](const auto& entry) {
    return std::ranges::any_of(own,
                               [&](const auto& given) { return beast::iequals(given.first, entry.first); });
  });
  defaults.insert(defaults.end(), own.begin(), own.end());
  return defaults;
}

FetchReply fetch(const Url& url, std::string_view target, std::string_view body, const HeaderList& headers,
                 double timeout_s) {
  FetchReply reply;
  asio::io_context context;
  beast::tcp_stream stream(context);
  error_code code;
  asio::ip::tcp::resolver resolver(context);
  const auto endpoints = resolver.resolve(url.host, url.port, code);
  if (code) {
    reply.error = "cannot find " + url.host + ": " + code.message();
    return reply;
  }
  http::request<http::string_body> request(body.empty() ? http::verb::get : http::verb::post,
                                           url.path + std::string(target), 11);
  request.set(http::field::host, url.authority());
  request.set(http::field::connection, "close");
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  for (const auto& [name, value] : headers) request.set(name, value);
  request.prepare_payload();
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kFetchBodyBytesMax);
  const auto failed = [&](error_code failure) {
    if (failure) reply.error = "http://" + url.authority() + ": " + failure.message();
    return static_cast<bool>(failure);
  };
  stream.expires_after(std::chrono::microseconds(static_cast<int64_t>(timeout_s * 1e6)));
  stream.async_connect(endpoints, [&](error_code connected, const asio::ip::tcp::endpoint&) {
    if (failed(connected)) return;
    http::async_write(stream, request, [&](error_code written, size_t) {
      if (failed(written)) return;
      http::async_read(stream, buffer, parser, [&](error_code read, size_t) {
        if (failed(read)) return;
        reply.status = static_cast<int>(parser.get().result_int());
        reply.body = std::move(parser.get().body());
      });
    });
  });
  context.run();
  return reply;
}

}  // namespace minimax::net
