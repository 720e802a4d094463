#pragma once
// The text format 0.0.4 of Prometheus.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/histogram.h"

namespace minimax::api {

class MetricsText {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // `labels` go on every series that does not set its own.
  explicit MetricsText(Labels labels) : labels_(std::move(labels)) {}

  // `help` is one line. Counters get the suffix _total where they have none.
  void gauge(std::string_view name, std::string_view help, double value);
  void gauge(std::string_view name, std::string_view help, std::string_view label,
             const std::vector<std::pair<std::string, double>>& values);
  // Facts as labels of a series that is always 1. Without the labels of the others but `engine`, as in the
  // peer.
  void info(std::string_view name, std::string_view help, const Labels& facts);
  void counter(std::string_view name, std::string_view help, double value);
  // One series a value of the label.
  void counter(std::string_view name, std::string_view help, std::string_view label,
               const std::vector<std::pair<std::string, double>>& values);
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram);
  // Series without labels: facts of the process.
  void process_gauge(std::string_view name, std::string_view help, double value);
  void process_counter(std::string_view name, std::string_view help, double value);

  std::string take() { return std::move(out_); }

 private:
  void head(std::string_view name, std::string_view help, std::string_view type);
  void series(std::string_view name, const Labels& more, double value);
  void labelled(std::string_view name, std::string_view label,
                const std::vector<std::pair<std::string, double>>& values);

  Labels labels_;
  std::string out_;
};

// process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds, from /proc; what cannot be read
// is left out.
void append_process_metrics(MetricsText& text);

}  // namespace minimax::api
