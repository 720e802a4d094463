#pragma once
// The client whose streams are measured: thousands of them in the one thread that runs the io_context.
// Connections are kept alive and used again. A connection waits for its socket to become readable and reads
// into a buffer that all share, so a stream costs no buffer of its own.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "bench/client/chunk.h"
#include "net/fetch.h"

namespace minimax::bench {

struct StreamClientOptions {
  net::Url url;
  std::string target;       // "/v1/completions"
  net::HeaderList headers;  // of every request
  double stall_timeout_s = 600;
  std::function<int64_t()> clock_us;  // monotonic; tests put their own
};

class StreamClient {
 public:
  // Resolves the host; throws Error if that fails. All calls from the thread that runs `context`.
  StreamClient(boost::asio::io_context& context, StreamClientOptions options);
  ~StreamClient();

  // Sends one request and measures its stream. `done` is called once, later, never from within start. Times
  // of the outcome: start_s is in the client's clock (not since the start of a run). `more` are headers of
  // this request alone.
  void start(std::string body, const net::HeaderList& more, std::function<void(Outcome)> done);

  // Ends every stream that runs: its outcome says `interrupted`.
  void interrupt();
  // Ends streams from which no event came for stall_timeout_s. To be called now and then.
  void end_stalled();
  // Closes connections whose stream is told, and whose server has not ended its answer yet.
  void end_lingering();

  int64_t running() const;
  int64_t chunks() const { return chunks_; }  // with choices, of all streams so far

 private:
  class Call;
  using Socket = boost::asio::ip::tcp::socket;

  boost::asio::io_context& context_;
  StreamClientOptions options_;
  std::string head_;  // request line and headers up to Content-Length
  std::vector<boost::asio::ip::tcp::endpoint> endpoints_;
  std::vector<char> buffer_;
  ChunkReader reader_;
  std::vector<Socket> idle_;
  std::list<std::shared_ptr<Call>> calls_;
  std::vector<std::weak_ptr<Call>> lingering_;
  int64_t chunks_ = 0;
};

}  // namespace minimax::bench
