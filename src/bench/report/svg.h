#pragma once
// Line plots and request timelines as SVG text that stands alone: no script, no font, no link.

#include <string>
#include <string_view>
#include <vector>

namespace minimax::bench {

struct Point {
  double x = 0, y = 0;
};

struct Curve {
  std::string name;   // in the legend; empty: none
  size_t colour = 0;  // index into the palette, taken around its length
  std::vector<Point> points;
  bool markers = false;
  std::vector<std::string> labels;  // beside the markers; empty or one for each point
};

struct Plot {
  std::string title, x_name, y_name;
  bool x_log = false, y_log = false;
  std::vector<Curve> curves;
};

// Points that cannot be on a logarithmic axis (0 and below) are left out.
std::string svg_of(const Plot& plot);

struct TimelineRow {
  double start_s = 0, first_token_s = 0, end_s = 0;  // end 0: failed
};
inline constexpr size_t kTimelineRowsMax = 400;

// A bar a request, in the order given: waiting for the first token, then streaming.
std::string svg_of_timeline(std::string_view title, const std::vector<TimelineRow>& rows);

std::string_view colour_of(size_t idx);
std::string escaped(std::string_view text);  // for text and attributes of XML

}  // namespace minimax::bench
