#include "bench/report/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "bench/report/svg.h"

namespace minimax::bench {
namespace {

double number(const Json& point, std::string_view key) {
  const Json* value = point.find(key);
  return value != nullptr && value->is_number() ? value->as_double() : 0;
}

std::vector<double> numbers(const Json* list) {
  std::vector<double> out;
  if (list == nullptr || !list->is_array()) return out;
  for (const Json& item : list->as_array()) out.push_back(item.is_number() ? item.as_double() : 0);
  return out;
}

// The series of each request that succeeded.
struct Requests {
  std::vector<double> ttft_ms, tpot_ms, itl_ms;
  std::vector<TimelineRow> rows;
};

Requests requests_of(const Json& point) {
  Requests out;
  const std::vector<double> ttfts = numbers(point.find("ttfts")), lens = numbers(point.find("output_lens")),
                            starts = numbers(point.find("start_times"));
  const Json* itls = point.find("itls");
  for (size_t i = 0; i < ttfts.size() && i < lens.size(); ++i) {
    const std::vector<double> gaps = itls != nullptr && itls->is_array() && i < itls->as_array().size()
                                         ? numbers(&itls->as_array()[i])
                                         : std::vector<double>();
    const double start = i < starts.size() ? starts[i] : 0;
    if (lens[i] == 0) {
      out.rows.push_back({start, start, 0});
      continue;
    }
    const double streaming = std::accumulate(gaps.begin(), gaps.end(), 0.0);
    out.ttft_ms.push_back(ttfts[i] * 1e3);
    if (lens[i] > 1) out.tpot_ms.push_back(streaming * 1e3 / (lens[i] - 1));
    for (const double gap : gaps) out.itl_ms.push_back(gap * 1e3);
    out.rows.push_back({start, start + ttfts[i], start + ttfts[i] + streaming});
  }
  return out;
}

// The share of values at or below x, at 200 places.
std::vector<Point> distribution(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::vector<Point> out;
  constexpr size_t kPlaces = 200;
  const size_t places = std::min(kPlaces, values.size());
  for (size_t i = 0; i < places; ++i) {
    const size_t idx = places < 2 ? 0 : i * (values.size() - 1) / (places - 1);
    out.push_back({values[idx], 100 * static_cast<double>(idx + 1) / static_cast<double>(values.size())});
  }
  return out;
}

Plot against_throughput(const std::vector<ResultSeries>& series, std::string_view key, std::string title,
                        std::string y_name) {
  Plot plot{std::move(title), "output tokens per second, all streams", std::move(y_name), false, true, {}};
  for (size_t i = 0; i < series.size(); ++i) {
    Curve curve{series[i].name, i, {}, true, {}};
    for (const Json& point : series[i].points) {
      curve.points.push_back({number(point, "output_throughput"), number(point, key)});
      curve.labels.push_back(point_name(point));
    }
    plot.curves.push_back(std::move(curve));
  }
  return plot;
}

Plot distributions(const std::vector<ResultSeries>& series, std::vector<double> Requests::*values,
                   std::string title) {
  Plot plot{std::move(title), "milliseconds", "percent of values at or below", true, false, {}};
  size_t colour = 0;
  for (const ResultSeries& one : series) {
    for (const Json& point : one.points) {
      const Requests requests = requests_of(point);
      const std::string name = series.size() > 1 ? one.name + ": " + point_name(point) : point_name(point);
      plot.curves.push_back({name, colour++, distribution(requests.*values), false, {}});
    }
  }
  return plot;
}

struct Column {
  std::string_view name, key;
  int digits;
};
constexpr std::array<Column, 12> kColumns{{{"done", "completed", 0},
                                           {"failed", "failed", 0},
                                           {"req/s", "request_throughput", 2},
                                           {"out tok/s", "output_throughput", 1},
                                           {"total tok/s", "total_token_throughput", 1},
                                           {"TTFT mean", "mean_ttft_ms", 1},
                                           {"TTFT P99", "p99_ttft_ms", 1},
                                           {"TPOT mean", "mean_tpot_ms", 2},
                                           {"TPOT P99", "p99_tpot_ms", 2},
                                           {"ITL mean", "mean_itl_ms", 2},
                                           {"ITL P99", "p99_itl_ms", 2},
                                           {"client late P99", "client_late_p99_ms", 1}}};

// What a result lacks, such as a percentile that was not asked for, is no 0.
std::string cell(const Json& point, const Column& column) {
  const Json* value = point.find(column.key);
  return value != nullptr && value->is_number() ? fmt::format("{:.{}f}", value->as_double(), column.digits)
                                                : "-";
}

// For a cell of a Markdown table.
std::string without_bars(std::string text) {
  std::ranges::replace(text, '|', '/');
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::string html_table(const std::vector<ResultSeries>& series) {
  std::string out = "<table><tr><th>series</th><th>load</th>";
  for (const Column& column : kColumns) out += fmt::format("<th>{}</th>", column.name);
  out += "</tr>\n";
  for (const ResultSeries& one : series) {
    for (const Json& point : one.points) {
      out += fmt::format("<tr><td>{}</td><td>{}</td>", escaped(one.name), escaped(point_name(point)));
      for (const Column& column : kColumns) out += "<td>" + cell(point, column) + "</td>";
      out += "</tr>\n";
    }
  }
  return out + "</table>\n";
}

constexpr std::string_view kStyle =
    "body{font-family:sans-serif;color:#1f2937;max-width:1100px;margin:24px auto;padding:0 16px}"
    "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "th,td{border:1px solid #e5e7eb;padding:4px 8px;text-align:right;white-space:nowrap}"
    "figure{margin:24px 0}svg{width:100%;height:auto;max-width:900px}"
    "pre{background:#f3f4f6;padding:12px;overflow-x:auto;font-size:12px}";

}  // namespace

std::string point_name(const Json& point) {
  const double concurrency = number(point, "max_concurrency");
  const double rate = number(point, "request_rate");
  std::string out = concurrency > 0 ? fmt::format("{:g}", concurrency) : "";
  if (rate > 0) out += (out.empty() ? "" : ", ") + fmt::format("{:g} req/s", rate);
  return out.empty() ? "all at once" : out;
}

std::string markdown_table(const std::vector<ResultSeries>& series) {
  std::string out = "| series | load |";
  std::string rule = "|---|---:|";
  for (const Column& column : kColumns) {
    out += fmt::format(" {} |", column.name);
    rule += "---:|";
  }
  out += "\n" + rule + "\n";
  for (const ResultSeries& one : series) {
    for (const Json& point : one.points) {
      out += fmt::format("| {} | {} |", without_bars(one.name), point_name(point));
      for (const Column& column : kColumns) out += " " + cell(point, column) + " |";
      out += "\n";
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> pictures(const std::vector<ResultSeries>& series) {
  std::vector<std::pair<std::string, std::string>> out;
  out.emplace_back("throughput_tpot.svg",
                   svg_of(against_throughput(series, "mean_tpot_ms", "Throughput against time per token",
                                             "mean TPOT (ms)")));
  out.emplace_back(
      "throughput_ttft.svg",
      svg_of(against_throughput(series, "mean_ttft_ms", "Throughput against time to the first token",
                                "mean TTFT (ms)")));
  out.emplace_back("ttft.svg", svg_of(distributions(series, &Requests::ttft_ms, "Time to first token")));
  out.emplace_back("tpot.svg", svg_of(distributions(series, &Requests::tpot_ms, "Time per output token")));
  out.emplace_back("itl.svg", svg_of(distributions(series, &Requests::itl_ms, "Inter-token latency")));
  for (size_t i = 0; i < series.size(); ++i) {
    if (series[i].points.empty()) continue;
    const Json& point = series[i].points.back();
    const std::string title = fmt::format("Requests of {}, load {}", series[i].name, point_name(point));
    out.emplace_back(fmt::format("timeline{}.svg", i == 0 ? "" : fmt::format("_{}", i + 1)),
                     svg_of_timeline(title, requests_of(point).rows));
  }
  return out;
}

std::string html_report(const ReportText& text, const std::vector<ResultSeries>& series) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "img-src data:\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n"
      "<meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>{0}</title>\n<style>{1}</style></head><body>\n"
      "<h1>{0}</h1>\n",
      escaped(text.title), kStyle);
  for (const std::string& note : text.notes) out += "<p>" + escaped(note) + "</p>\n";
  out += html_table(series);
  for (const auto& [name, svg] : pictures(series)) out += "<figure>" + svg + "</figure>\n";
  out += "<h2>For Markdown</h2>\n<pre>" + escaped(markdown_table(series)) + "</pre>\n</body></html>\n";
  return out;
}

ResultSeries read_series(const std::string& file_name, const std::string& text) {
  ResultSeries out;
  const size_t slash = file_name.rfind('/');
  out.name = file_name.substr(slash == std::string::npos ? 0 : slash + 1);
  const auto add = [&](const Json& value) {
    if (value.find("output_throughput") == nullptr) {
      throw Error("{}: expected results of bench serve or bench sweep, found {} without output_throughput",
                  file_name, value.type_name());
    }
    out.points.push_back(value);
  };
  const Result<Json> whole = parse_json(text);
  if (whole.ok()) {
    const Json* points = whole->find("points");
    if (points != nullptr && points->is_array()) {
      if (const Json* name = whole->find("name"); name != nullptr && name->is_string())
        out.name = name->as_string();
      for (const Json& point : points->as_array()) add(point);
    } else {
      add(*whole);
    }
    return out;
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      const Result<Json> line = parse_json(std::string_view(text).substr(begin, end - begin));
      if (!line.ok()) throw Error("{}: {}", file_name, line.failure().message);
      add(*line);
    }
    begin = end + 1;
  }
  return out;
}

}  // namespace minimax::bench
