// `minimax bench sweep`: bench serve at a series of concurrencies or rates, and a report of it; or a report
// of results that are there already (--compare).

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "base/error.h"
#include "bench/report/report.h"
#include "cli/bench.h"
#include "cli/bench_run.h"
#include "cli/bench_serve_flags.h"

namespace minimax::cli {
namespace {

constexpr std::string_view kSweep = "Sweep";
constexpr FlagKind kDone = FlagKind::kDone;
constexpr Flag kOwnFlags[] = {
    {"--concurrencies", "", kSweep, kDone, "N", "1 2 4 8 16 32", "points: requests under way at once", false,
     true},
    {"--rates", "", kSweep, kDone, "RPS", "", "points: requests a second, in the place of --concurrencies",
     false, true},
    {"--prompts-per-stream", "", kSweep, kDone, "N", "4",
     "requests of a point for each of its concurrency; at least 8. With --rates, --num-prompts counts"},
    {"--report", "", kSweep, kDone, "DIR", "sweep",
     "where report.html, its pictures, table.md and results.json go"},
    {"--name", "", kSweep, kDone, "TEXT", "the model", "name of the series in the report"},
    {"--note", "", kSweep, kDone, "TEXT", "", "paragraphs for the report: what ran on what", false, true},
    {"--compare", "", kSweep, kDone, "FILE", "",
     "draw results of earlier runs over each other instead of measuring", false, true},
};
constexpr int64_t kPromptsLeast = 8;
constexpr int kExitInterrupted = 130;

const Verb& sweep_verb() {
  static const std::vector<Flag> flags = [] {
    std::vector<Flag> all(std::begin(kOwnFlags), std::end(kOwnFlags));
    for (const Flag& flag : bench_serve_flags()) all.push_back(flag);
    return all;
  }();
  static const Verb verb{
      "bench sweep", "",
      "bench serve at several loads in one run, with a report: one HTML file, SVG, Markdown.", flags, 0};
  return verb;
}

std::vector<double> numbers(const Args& args, std::string_view name) {
  std::vector<double> out;
  for (const std::string& word : args.texts(name)) {
    double value = 0;
    const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (code != std::errc() || end != word.data() + word.size() || !(value > 0) || !(value < 1e6))
      throw UsageError("{} takes numbers above 0, but got \"{}\"", name, word);
    out.push_back(value);
  }
  return out;
}

struct SweepPoint {
  int64_t concurrency_max = 0;
  bench::ArrivalOptions arrivals;
  int64_t prompts = 0;
};

// Flags of bench serve that have no meaning for a series of points.
void refuse_others(const Args& args) {
  for (const std::string_view flag :
       {"--save-result", "--save-detailed", "--append-result", "--result-dir", "--result-filename"}) {
    if (args.has(flag))
      throw UsageError("{}: a sweep writes all its points to results.json in --report", flag);
  }
  if (args.has("--goodput"))
    throw UsageError("--goodput: the report of a sweep has no column for it; use bench serve");
  if (args.has("--max-concurrency") && !args.has("--rates"))
    throw UsageError("--max-concurrency: a sweep takes --concurrencies, or it with --rates");
  if (args.has("--request-rate") && args.has("--rates"))
    throw UsageError("--request-rate and --rates: give one of them");
  if (args.has("--ramp-up-strategy"))
    throw UsageError("--ramp-up-strategy: each point of a sweep has one load; use bench serve");
  if (args.has("--rates") && args.text("--dataset-name").value_or("") == "timed_trace")
    throw UsageError("--rates: a timed_trace has times of its own; --no-self-timed leaves them out");
}

std::vector<SweepPoint> sweep_points(const Args& args, const BenchServeOptions& options) {
  refuse_others(args);
  if (args.has("--rates") && args.has("--concurrencies"))
    throw UsageError("--rates and --concurrencies: give one of them");
  std::vector<SweepPoint> points;
  if (args.has("--rates")) {
    const int64_t prompts = args.has("--num-prompts") ? options.dataset.num_prompts : 64;
    for (const double rate : numbers(args, "--rates")) {
      SweepPoint point{options.concurrency_max, options.arrivals, prompts};
      point.arrivals.rate = rate;
      points.push_back(point);
    }
    return points;
  }
  std::vector<double> wanted = numbers(args, "--concurrencies");
  if (wanted.empty()) wanted = {1, 2, 4, 8, 16, 32};
  const int64_t each = args.integer("--prompts-per-stream", 1, 1 << 20).value_or(4);
  for (const double value : wanted) {
    const auto concurrency = static_cast<int64_t>(value);
    if (static_cast<double>(concurrency) != value)
      throw UsageError("--concurrencies takes whole numbers, but got {}", value);
    const int64_t prompts =
        args.has("--num-prompts") ? options.dataset.num_prompts : std::max(kPromptsLeast, each * concurrency);
    points.push_back({concurrency, options.arrivals, prompts});
  }
  return points;
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw Error("{}: cannot be written", path.string());
}

void write_report(const std::filesystem::path& dir, const bench::ReportText& text,
                  const std::vector<bench::ResultSeries>& series) {
  std::filesystem::create_directories(dir);
  write_file(dir / "report.html", bench::html_report(text, series));
  write_file(dir / "table.md", bench::markdown_table(series));
  for (const auto& [name, svg] : bench::pictures(series)) write_file(dir / name, svg);
  fmt::print("{}", bench::markdown_table(series));
  fmt::print(stderr, "report written to {}\n", (dir / "report.html").string());
}

int compare(const Args& args, const std::filesystem::path& dir, const bench::ReportText& text) {
  std::vector<bench::ResultSeries> series;
  for (const std::string& file : args.texts("--compare")) {
    series.push_back(bench::read_series(file, read_input(file, size_t{4} << 30)));
    const std::vector<Json>& points = series.back().points;
    if (points.empty()) throw Error("{}: holds no result of bench serve or bench sweep", file);
    if (std::ranges::none_of(points, [](const Json& point) { return point.find("itls") != nullptr; })) {
      fmt::print(stderr, "{}: without --save-detailed there are no distributions and no timeline to draw\n",
                 file);
    }
  }
  write_report(dir, text, series);
  return 0;
}

int measure(const Args& args, const Environment& environment, const std::filesystem::path& dir,
            const bench::ReportText& text) {
  BenchServeOptions options = bench_serve_options(args, environment);
  const std::vector<SweepPoint> points = sweep_points(args, options);
  check_writable(dir);
  options.dataset.num_prompts = 0;
  // Each point has requests of its own: none finds its prompt in the server's cache.
  for (const SweepPoint& point : points) options.dataset.num_prompts += point.prompts;
  ServeBench bench(options, environment);
  bench::ResultSeries series;
  series.name = args.text("--name").value_or(bench.options().model);
  int code = 0;
  int64_t begin = 0;
  for (const SweepPoint& point : points) {
    const ServeBench::Outcome outcome =
        bench.run(point.concurrency_max, point.arrivals, {begin, point.prompts});
    begin += point.prompts;
    if (outcome.result.outcomes.empty() && outcome.measured) {
      fmt::print(stderr, "the dataset holds too few requests for this point and those after it\n");
      code = std::max(code, 1);
      break;
    }
    code = std::max(code, ServeBench::report(outcome));
    if (!outcome.measured) break;
    Json json = bench::result_json(outcome.result, /*detailed=*/true);
    std::erase_if(json.as_object(),
                  [](const Json::Member& member) { return member.first == "generated_texts"; });
    fmt::print(stderr, "{}: {} of {} requests, {:.1f} output tok/s, TTFT {:.1f} ms, TPOT {:.2f} ms\n",
               bench::point_name(json), outcome.result.metrics.completed, outcome.result.num_prompts,
               outcome.result.metrics.output_throughput, outcome.result.metrics.ttft_ms.mean,
               outcome.result.metrics.tpot_ms.mean);
    series.points.push_back(std::move(json));
    if (code == kExitInterrupted) break;
  }
  if (series.points.empty()) return code;
  const Json all = Json::object(
      {{"name", series.name}, {"points", Json(Json::Array(series.points.begin(), series.points.end()))}});
  write_file(dir / "results.json", to_string(all));
  write_report(dir, text, {series});
  return code;
}

}  // namespace

const Verb& bench_sweep_verb() {
  return sweep_verb();
}

int run_bench_sweep(const Words& words, const Environment& environment) {
  const Args args = parse_args(sweep_verb(), words);
  if (print_help(sweep_verb(), args)) return 0;
  for (const std::string& note : args.notes()) fmt::print(stderr, "{}\n", note);
  const std::filesystem::path dir = args.text("--report").value_or("sweep");
  const bench::ReportText text{"Serving benchmark", args.texts("--note")};
  return args.has("--compare") ? compare(args, dir, text) : measure(args, environment, dir, text);
}

}  // namespace minimax::cli
