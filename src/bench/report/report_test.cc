#include "bench/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "bench/report/svg.h"

namespace minimax::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json point(int concurrency, double throughput) {
  return Json::object({{"max_concurrency", concurrency},
                       {"request_rate", "inf"},
                       {"output_throughput", throughput},
                       {"mean_ttft_ms", 12.34},
                       {"mean_tpot_ms", 5.0},
                       {"completed", 2},
                       {"ttfts", Json(Json::Array{0.01, 0.02})},
                       {"output_lens", Json(Json::Array{3, 0})},
                       {"start_times", Json(Json::Array{0.0, 0.5})},
                       {"itls", Json(Json::Array{Json(Json::Array{0.1, 0.2}), Json::array()})}});
}

TEST(Report, IsOneFileThatAsksForNothing) {
  const std::string html = html_report({"A <title>", {"a & b"}}, {{"s", {point(1, 10), point(8, 50)}}});
  EXPECT_THAT(html, HasSubstr("A &lt;title&gt;"));
  EXPECT_THAT(html, HasSubstr("a &amp; b"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("src=\"")));
  EXPECT_THAT(html, Not(HasSubstr("https:")));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf,")));
}

TEST(Report, TheMarkdownTableHasARowAPoint) {
  const std::string table = markdown_table({{"a", {point(1, 10)}}, {"b", {point(8, 50)}}});
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4);
  EXPECT_THAT(table, HasSubstr("| b | 8 | 2 | - | - | 50.0 |"));  // what a result lacks is no 0
}

TEST(Report, PicturesOfNothingSaySo) {
  EXPECT_THAT(svg_of({.title = "t", .x_name = "x", .y_name = "y", .curves = {}}), HasSubstr("no data"));
  // A logarithmic axis has no place for 0.
  Plot plot{.title = "t", .x_name = "x", .y_name = "y", .x_log = true, .y_log = true, .curves = {}};
  plot.curves.push_back({"c", 0, {{0, 1}, {10, 100}}, true, {"a", "b"}});
  const std::string svg = svg_of(plot);
  EXPECT_THAT(svg, Not(HasSubstr(">a</text>")));
  EXPECT_THAT(svg, HasSubstr(">b</text>"));
}

TEST(Report, ReadsResultsOfAllKinds) {
  const std::string one = to_string(point(1, 10));
  EXPECT_EQ(read_series("d/x.json", one).points.size(), 1u);
  EXPECT_EQ(read_series("d/x.json", one).name, "x.json");
  EXPECT_EQ(read_series("x", one + "\n" + one + "\n").points.size(), 2u);
  const ResultSeries sweep = read_series("x", "{\"name\": \"n\", \"points\": [" + one + "]}");
  EXPECT_EQ(sweep.name, "n");
  EXPECT_THROW(read_series("x", "{}"), Error);
  EXPECT_THROW(read_series("x", "no json"), Error);
}

}  // namespace
}  // namespace minimax::bench
