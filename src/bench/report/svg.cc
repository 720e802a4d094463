#include "bench/report/svg.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace minimax::bench {
namespace {

constexpr double kWidth = 720, kHeight = 400;
constexpr double kLeft = 70, kRight = 170, kTop = 34, kBottom = 48;
constexpr std::array<std::string_view, 10> kPalette{"#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed",
                                                    "#0891b2", "#be185d", "#4d7c0f", "#475569", "#92400e"};

// From values to pixels.
class Axis {
 public:
  Axis(bool log, double low, double high, double from, double to) : log_(log), from_(from), to_(to) {
    if (log_) {
      low_ = std::floor(std::log10(low) * 3) / 3;
      high_ = std::ceil(std::log10(high) * 3) / 3;
      if (high_ - low_ < 1e-9) high_ = low_ + 1;
    } else {
      low_ = std::min(0.0, low);
      step_ = nice_step(high > low_ ? high - low_ : 1);
      high_ = std::max(step_, std::ceil(high / step_) * step_);
    }
  }
  double at(double value) const {
    const double v = log_ ? std::log10(value) : value;
    return from_ + (to_ - from_) * (v - low_) / (high_ - low_);
  }
  std::vector<double> ticks() const {
    std::vector<double> out;
    if (!log_) {
      for (int i = 0; low_ + i * step_ <= high_ + step_ * 1e-6; ++i) out.push_back(low_ + i * step_);
      return out;
    }
    for (int decade = static_cast<int>(std::floor(low_)); decade <= static_cast<int>(std::ceil(high_));
         ++decade) {
      for (const double digit : {1.0, 2.0, 5.0}) {
        const double value = digit * std::pow(10, decade);
        const double v = std::log10(value);
        if (v >= low_ - 1e-9 && v <= high_ + 1e-9) out.push_back(value);
      }
    }
    return out;
  }

 private:
  static double nice_step(double range) {
    const double rough = range / 6;
    const double decade = std::pow(10, std::floor(std::log10(rough)));
    for (const double digit : {1.0, 2.0, 5.0}) {
      if (rough <= digit * decade) return digit * decade;
    }
    return 10 * decade;
  }
  bool log_;
  double from_, to_;
  double low_ = 0, high_ = 1, step_ = 1;
};

std::string tick_text(double value) {
  return fmt::format("{:.6g}", std::fabs(value) < 1e-12 ? 0.0 : value);
}

std::string text(double x, double y, std::string_view anchor, std::string_view content,
                 std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more,
                     escaped(content));
}

std::string opening(double width, double height, std::string_view title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#1f2937\"><title>{}</title>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      width, height, escaped(title));
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

std::string grid(const Plot& plot, const Axis& x, const Axis& y) {
  std::string out;
  for (const double tick : x.ticks()) {
    out += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#e5e7eb\"/>\n",
                       x.at(tick), kTop, kHeight - kBottom);
    out += text(x.at(tick), kHeight - kBottom + 16, "middle", tick_text(tick));
  }
  for (const double tick : y.ticks()) {
    out += fmt::format("<line x1=\"{1}\" x2=\"{2}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\" stroke=\"#e5e7eb\"/>\n",
                       y.at(tick), kLeft, kWidth - kRight);
    out += text(kLeft - 6, y.at(tick) + 4, "end", tick_text(tick));
  }
  out += text((kLeft + kWidth - kRight) / 2, kHeight - 10, "middle", plot.x_name);
  out += text(0, 0, "middle", plot.y_name,
              fmt::format("transform=\"translate(16 {:.0f}) rotate(-90)\"", (kTop + kHeight - kBottom) / 2));
  return out;
}

}  // namespace

std::string_view colour_of(size_t idx) {
  return kPalette[idx % kPalette.size()];
}

std::string escaped(std::string_view content) {
  std::string out;
  for (const char c : content) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string svg_of(const Plot& plot) {
  std::vector<Curve> curves = plot.curves;
  Range xs, ys;
  for (Curve& curve : curves) {
    std::vector<Point> kept;
    std::vector<std::string> labels;
    for (size_t i = 0; i < curve.points.size(); ++i) {
      const Point& point = curve.points[i];
      if ((plot.x_log && point.x <= 0) || (plot.y_log && point.y <= 0)) continue;
      kept.push_back(point);
      if (i < curve.labels.size()) labels.push_back(curve.labels[i]);
      xs.add(point.x);
      ys.add(point.y);
    }
    curve.points = std::move(kept);
    curve.labels = std::move(labels);
  }
  // As wide as the longest name needs; a letter takes 7 at most.
  size_t letters = 0;
  for (const Curve& curve : curves) letters = std::max(letters, curve.name.size());
  const double legend = std::max(kRight, 36 + 7 * static_cast<double>(letters));
  std::string out = opening(kWidth - kRight + legend, kHeight, plot.title);
  out += text(kLeft, 20, "start", plot.title, "font-size=\"14\" font-weight=\"bold\"");
  if (!(xs.low <= xs.high)) return out + text(kWidth / 2, kHeight / 2, "middle", "no data") + "</svg>\n";
  const Axis x(plot.x_log, xs.low, xs.high, kLeft, kWidth - kRight);
  const Axis y(plot.y_log, ys.low, ys.high, kHeight - kBottom, kTop);
  out += grid(plot, x, y);
  double legend_y = kTop + 10;
  for (const Curve& curve : curves) {
    const std::string_view colour = colour_of(curve.colour);
    std::string path;
    for (const Point& point : curve.points)
      path += fmt::format("{:.1f},{:.1f} ", x.at(point.x), y.at(point.y));
    out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>\n", path,
                       colour);
    for (size_t i = 0; curve.markers && i < curve.points.size(); ++i) {
      const Point& point = curve.points[i];
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\" fill=\"{}\"/>\n", x.at(point.x),
                         y.at(point.y), colour);
      if (i < curve.labels.size())
        out += text(x.at(point.x) + 5, y.at(point.y) - 6, "start", curve.labels[i]);
    }
    if (curve.name.empty()) continue;
    out += fmt::format("<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"12\" height=\"4\" fill=\"{}\"/>\n",
                       kWidth - kRight + 12, legend_y - 6, colour);
    out += text(kWidth - kRight + 30, legend_y, "start", curve.name);
    legend_y += 18;
  }
  return out + "</svg>\n";
}

std::string svg_of_timeline(std::string_view title, const std::vector<TimelineRow>& rows) {
  const size_t count = std::min(rows.size(), kTimelineRowsMax);
  const double row_height = std::clamp(360.0 / static_cast<double>(std::max<size_t>(count, 1)), 1.5, 12.0);
  const double height = kTop + row_height * static_cast<double>(count) + kBottom;
  double last_s = 0;
  for (size_t i = 0; i < count; ++i) last_s = std::max({last_s, rows[i].end_s, rows[i].start_s});
  std::string out = opening(kWidth, height, title);
  out += text(kLeft, 20, "start", title, "font-size=\"14\" font-weight=\"bold\"");
  const Axis x(false, 0, last_s, kLeft, kWidth - 20);
  for (const double tick : x.ticks()) {
    out += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2:.1f}\" stroke=\"#e5e7eb\"/>\n",
                       x.at(tick), kTop, height - kBottom);
    out += text(x.at(tick), height - kBottom + 16, "middle", tick_text(tick));
  }
  const auto bar = [&](size_t i, double from, double to, std::string_view colour) {
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                       x.at(from), kTop + row_height * static_cast<double>(i),
                       std::max(0.5, x.at(to) - x.at(from)), row_height * 0.8, colour);
  };
  for (size_t i = 0; i < count; ++i) {
    if (rows[i].end_s <= 0) {
      bar(i, rows[i].start_s, rows[i].start_s, "#dc2626");
      continue;
    }
    bar(i, rows[i].start_s, rows[i].first_token_s, "#cbd5e1");
    bar(i, rows[i].first_token_s, rows[i].end_s, "#2563eb");
  }
  out += text((kLeft + kWidth) / 2, height - 10, "middle",
              "seconds since the start; grey: until the first token, blue: streaming, red: failed");
  return out + "</svg>\n";
}

}  // namespace minimax::bench
