#include "api/metrics_text.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <sys/resource.h>
#include <unistd.h>

#include "base/json.h"

namespace minimax::api {
namespace {

std::string number_text(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::string out;
  append_json_double(out, value);
  return out;
}

// Backslash, quote and newline are escaped in label values.
std::string label_text(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void MetricsText::head(std::string_view name, std::string_view help, std::string_view type) {
  out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsText::series(std::string_view name, const Labels& labels, double value) {
  out_ += name;
  if (!labels.empty()) {
    out_ += '{';
    for (size_t i = 0; i < labels.size(); ++i) {
      out_ += fmt::format("{}{}=\"{}\"", i == 0 ? "" : ",", labels[i].first, label_text(labels[i].second));
    }
    out_ += '}';
  }
  out_ += fmt::format(" {}\n", number_text(value));
}

void MetricsText::gauge(std::string_view name, std::string_view help, double value) {
  head(name, help, "gauge");
  series(name, labels_, value);
}

void MetricsText::counter(std::string_view name, std::string_view help, double value) {
  const std::string full = std::string(name) + "_total";
  head(full, help, "counter");
  series(full, labels_, value);
}

void MetricsText::counter(std::string_view name, std::string_view help, std::string_view label,
                          const std::vector<std::pair<std::string, double>>& values) {
  const std::string full = std::string(name) + "_total";
  head(full, help, "counter");
  labelled(full, label, values);
}

void MetricsText::gauge(std::string_view name, std::string_view help, std::string_view label,
                        const std::vector<std::pair<std::string, double>>& values) {
  head(name, help, "gauge");
  labelled(name, label, values);
}

void MetricsText::labelled(std::string_view name, std::string_view label,
                           const std::vector<std::pair<std::string, double>>& values) {
  for (const auto& [value_of_label, value] : values) {
    Labels labels = labels_;
    labels.emplace_back(label, value_of_label);
    series(name, labels, value);
  }
}

void MetricsText::info(std::string_view name, std::string_view help, const Labels& facts) {
  head(name, help, "gauge");
  Labels labels{{"engine", "0"}};
  labels.insert(labels.end(), facts.begin(), facts.end());
  series(name, labels, 1);
}

void MetricsText::histogram(std::string_view name, std::string_view help, const Histogram& histogram) {
  head(name, help, "histogram");
  const Histogram::Snapshot snapshot = histogram.snapshot();
  uint64_t count = 0;
  const std::string bucket = std::string(name) + "_bucket";
  for (size_t i = 0; i < snapshot.counts.size(); ++i) {
    count += snapshot.counts[i];
    Labels labels = labels_;
    labels.emplace_back("le", number_text(i < histogram.edges().size() ? histogram.edges()[i] : HUGE_VAL));
    series(bucket, labels, static_cast<double>(count));
  }
  series(std::string(name) + "_count", labels_, static_cast<double>(count));
  series(std::string(name) + "_sum", labels_, snapshot.sum);
}

void MetricsText::process_gauge(std::string_view name, std::string_view help, double value) {
  head(name, help, "gauge");
  series(name, {}, value);
}

void MetricsText::process_counter(std::string_view name, std::string_view help, double value) {
  head(name, help, "counter");
  series(name, {}, value);
}

void append_process_metrics(MetricsText& text) {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0, resident_pages = 0;
  if (statm >> pages >> resident_pages) {
    text.process_gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
                       static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  text.process_gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                     static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    text.process_gauge("process_max_fds", "Maximum number of open file descriptors.",
                       static_cast<double>(files.rlim_cur));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    text.process_counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                         seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  std::error_code error;
  int64_t descriptors = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++descriptors;
  }
  if (!error)
    text.process_gauge("process_open_fds", "Number of open file descriptors.",
                       static_cast<double>(descriptors));
}

}  // namespace minimax::api
