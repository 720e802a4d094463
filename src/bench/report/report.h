#pragma once
// A report over results of the serving benchmark (their JSON, with the series of each request): pictures and
// tables in one file that asks for nothing else.

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace minimax::bench {

// Results of one server under a growing load, to be laid over others.
struct ResultSeries {
  std::string name;
  std::vector<Json> points;  // as bench/client/serve_result.h writes them, detailed
};

struct ReportText {
  std::string title;
  std::vector<std::string> notes;  // paragraphs under the title: what was measured on what
};

// "1", "8", or "4 req/s": what distinguishes a point.
std::string point_name(const Json& point);

// To paste into Markdown.
std::string markdown_table(const std::vector<ResultSeries>& series);

// (file name, SVG) of each picture: throughput against latency, distributions, timeline.
std::vector<std::pair<std::string, std::string>> pictures(const std::vector<ResultSeries>& series);

// A whole HTML document. Its content policy forbids every request.
std::string html_report(const ReportText& text, const std::vector<ResultSeries>& series);

// A result, results one a line, or a list of them under "points" with a "name"; throws Error naming the file
// and what was expected. `text` is the file's content.
ResultSeries read_series(const std::string& file_name, const std::string& text);

}  // namespace minimax::bench
