#pragma once
// A client in a process of its own that sends one request over and over on many connections and only counts
// what comes back, so that the process under test holds nothing but the server.

#include <cstdint>
#include <string>

#include <sys/types.h>

namespace minimax::bench {

struct ByteLoad {
  int32_t streams = 0;    // connections
  int32_t rounds = 0;     // requests of each, one after another
  int64_t spread_us = 0;  // the connections begin evenly over this time; 0: all at once
};

struct ByteReport {
  int64_t answered = 0, failed = 0, bytes = 0;
  double seconds = 0;
  double ttft_mean_us = 0, ttft_p99_us = 0;  // from sending to the second event of the stream
};

class ByteClient {
 public:
  // Forks. REQUIRES: this process has one thread. Throws Error if it cannot.
  ByteClient();
  ~ByteClient();  // ends the other process
  ByteClient(const ByteClient&) = delete;
  ByteClient& operator=(const ByteClient&) = delete;

  // Where to send what; before the first run. `request` is a whole HTTP/1.1 request for a chunked answer.
  void aim(uint16_t port, const std::string& request);
  ByteReport run(const ByteLoad& load);

 private:
  pid_t child_ = -1;
  int to_child_ = -1, from_child_ = -1;
};

}  // namespace minimax::bench
