// The datasets that are read from files of the user.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "bench/client/datasets.h"

namespace minimax::bench {
namespace {

constexpr uintmax_t kFileBytesMax = uintmax_t{4} << 30;
// The bounds the peer sets for conversations of sharegpt files.
constexpr int64_t kShareGptLeastTokens = 4, kShareGptPromptMax = 1024, kShareGptTotalMax = 2048;

std::ifstream open_file(const std::string& path) {
  std::error_code code;
  const uintmax_t bytes = std::filesystem::file_size(path, code);
  if (!code && bytes > kFileBytesMax) throw Error("{}: {} bytes, more than {}", path, bytes, kFileBytesMax);
  std::ifstream file(path, std::ios::binary);
  if (code || !file) throw Error("{}: cannot be opened", path);
  return file;
}

// JSON lines: calls use(object, place) for each line that is not blank.
template <typename Use>
void read_json_lines(const std::string& path, Use&& use) {
  std::ifstream file = open_file(path);
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string place = path + ":" + std::to_string(number);
    const Result<Json> value = parse_json(line);
    if (!value.ok()) throw Error("{}: {}", place, value.failure().message);
    if (!value->is_object()) throw Error("{}: expected an object, found {}", place, value->type_name());
    use(*value, place);
  }
}

const std::string& string_of(const Json& object, std::string_view key, const std::string& place) {
  const Json* value = object.find(key);
  if (value == nullptr || !value->is_string()) {
    throw Error("{}: expected the string {}, found {}", place, key,
                value == nullptr ? "none" : value->type_name());
  }
  return value->as_string();
}

double number_of(const Json& object, std::string_view key, const std::string& place) {
  const Json* value = object.find(key);
  if (value == nullptr || !value->is_number()) {
    throw Error("{}: expected the number {}, found {}", place, key,
                value == nullptr ? "none" : value->type_name());
  }
  return value->as_double();
}

int64_t count_of(const Json& object, std::string_view key, const std::string& place) {
  const double value = number_of(object, key, place);
  if (!(value >= 0 && value <= 1e8)) throw Error("{}: {} is {}, no count of tokens", place, key, value);
  return static_cast<int64_t>(value);
}

// The first num_prompts, or what there is, repeated if that is wanted.
void fill_up(std::vector<Script>& scripts, const DatasetOptions& options) {
  if (scripts.empty()) throw Error("{}: no request in it can be used", options.path);
  const auto wanted = static_cast<size_t>(options.num_prompts);
  if (scripts.size() > wanted) scripts.resize(wanted);
  const size_t own = scripts.size();
  for (size_t i = own; options.oversample && i < wanted; ++i) scripts.push_back(scripts[i % own]);
}

void shuffle_if_wanted(std::vector<Script>& scripts, const DatasetOptions& options) {
  std::mt19937_64 random(options.seed);
  if (options.shuffle) std::shuffle(scripts.begin(), scripts.end(), random);
}

}  // namespace

// A JSON list of {"conversations": [{"value": ...}, ...]}: the first two are question and answer.
std::vector<Script> sharegpt_scripts(const DatasetOptions& options, const TokenText* text) {
  if (text == nullptr && options.sharegpt_output_len == 0) {
    throw UsageError("--dataset-name sharegpt without a tokenizer needs --sharegpt-output-len");
  }
  std::ifstream file = open_file(options.path);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const Result<Json> list = parse_json(content);
  if (!list.ok()) throw Error("{}: {}", options.path, list.failure().message);
  if (!list->is_array()) throw Error("{}: expected a list, found {}", options.path, list->type_name());
  std::vector<const Json*> order;
  for (const Json& entry : list->as_array()) {
    const Json* turns = entry.find("conversations");
    if (turns != nullptr && turns->is_array() && turns->as_array().size() >= 2) order.push_back(turns);
  }
  std::mt19937_64 random(options.seed);
  if (options.shuffle) std::shuffle(order.begin(), order.end(), random);
  std::vector<Script> scripts;
  for (const Json* turns : order) {
    if (std::ssize(scripts) == options.num_prompts) break;
    Script script;
    script.prompt = string_of(turns->as_array()[0], "value", options.path);
    script.output_tokens = options.sharegpt_output_len;
    if (text != nullptr) {
      script.input_tokens = std::ssize(text->encode(script.prompt)) + text->added_tokens();
      if (script.output_tokens == 0) {
        script.output_tokens =
            std::ssize(text->encode(string_of(turns->as_array()[1], "value", options.path)));
        if (script.output_tokens < kShareGptLeastTokens) continue;
      }
      if (script.input_tokens < kShareGptLeastTokens || script.input_tokens > kShareGptPromptMax ||
          script.input_tokens + script.output_tokens > kShareGptTotalMax)
        continue;
    }
    scripts.push_back(std::move(script));
  }
  fill_up(scripts, options);
  return scripts;
}

// JSON lines {"prompt": ..., "output_tokens": ...}.
std::vector<Script> custom_scripts(const DatasetOptions& options, const TokenText* text) {
  std::vector<Script> scripts;
  read_json_lines(options.path, [&](const Json& line, const std::string& place) {
    Script script;
    script.prompt = string_of(line, "prompt", place);
    if (options.apply_template) script.prompt = options.apply_template(script.prompt);
    script.output_tokens =
        options.custom_output_len > 0 ? options.custom_output_len : count_of(line, "output_tokens", place);
    if (script.output_tokens < 1) throw Error("{}: output_tokens is 0, expected at least 1", place);
    if (text != nullptr) script.input_tokens = std::ssize(text->encode(script.prompt)) + text->added_tokens();
    scripts.push_back(std::move(script));
  });
  shuffle_if_wanted(scripts, options);
  fill_up(scripts, options);
  return scripts;
}

// CSV with the columns Model, Request tokens, Response tokens: those of GPT-4 that were answered.
std::vector<Script> burstgpt_scripts(const DatasetOptions& options, const TokenText& text) {
  std::ifstream file = open_file(options.path);
  std::string line;
  const auto cells = [](std::string_view row) {
    std::vector<std::string> out(1);
    for (const char c : row) {
      if (c == ',') {
        out.emplace_back();
      } else if (c != '\r' && c != '"') {
        out.back().push_back(c);
      }
    }
    return out;
  };
  std::getline(file, line);
  const std::vector<std::string> header = cells(line);
  const auto column = [&](std::string_view name) {
    const auto it = std::find(header.begin(), header.end(), name);
    if (it == header.end()) throw Error("{}:1: expected a column \"{}\"", options.path, name);
    return static_cast<size_t>(it - header.begin());
  };
  const size_t model = column("Model"), request = column("Request tokens"),
               response = column("Response tokens");
  struct Row {
    int64_t input = 0, output = 0;
  };
  std::vector<Row> rows;
  for (int64_t number = 2; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const std::vector<std::string> row = cells(line);
    const auto tokens = [&](size_t idx) {
      int64_t value = -1;
      if (idx < row.size()) std::from_chars(row[idx].data(), row[idx].data() + row[idx].size(), value);
      if (value < 0 || value > 100'000'000) {
        throw Error("{}:{}: expected {} as a number", options.path, number, header[idx]);
      }
      return value;
    };
    if (model < row.size() && row[model] == "GPT-4" && tokens(response) > 0 && tokens(request) > 0)
      rows.push_back({tokens(request), tokens(response)});
  }
  std::mt19937_64 random(options.seed);
  if (options.shuffle) std::shuffle(rows.begin(), rows.end(), random);
  std::vector<Script> scripts;
  for (size_t i = 0; i < rows.size() && std::ssize(scripts) < options.num_prompts; ++i) {
    Script script;
    script.prompt = text.decode(sequential_ids(text, i, rows[i].input));
    script.input_tokens = rows[i].input;
    script.output_tokens = rows[i].output;
    scripts.push_back(std::move(script));
  }
  fill_up(scripts, options);
  return scripts;
}

// JSON lines with a time, lengths, and hashes of the blocks of the prompt: equal hashes, equal tokens.
std::vector<Script> timed_trace_scripts(const DatasetOptions& options, const TokenText& text) {
  std::vector<Script> scripts;
  std::mt19937_64 random(options.seed);
  read_json_lines(options.path, [&](const Json& line, const std::string& place) {
    if (std::ssize(scripts) == options.num_prompts) return;
    Script script;
    script.arrival_s = number_of(line, options.trace_time, place) * options.trace_seconds;
    script.output_tokens = std::max<int64_t>(1, count_of(line, options.trace_output, place));
    int64_t tokens = std::max<int64_t>(1, count_of(line, options.trace_input, place));
    std::vector<TokenId> ids;
    const Json* hashes = line.find(options.trace_hashes);
    if (hashes != nullptr && hashes->is_array()) {
      for (const Json& hash : hashes->as_array()) {
        if (!hash.is_int64()) throw Error("{}: {} holds {}", place, options.trace_hashes, hash.type_name());
        // A block starts wherever its hash says; neighbours do not continue one another.
        const uint64_t first = std::mt19937_64(options.seed ^ static_cast<uint64_t>(hash.as_int64()))();
        const std::vector<TokenId> block = sequential_ids(text, first, options.trace_block_tokens);
        ids.insert(ids.end(), block.begin(), block.end());
      }
    }
    const auto wanted = static_cast<size_t>(tokens);
    if (ids.size() < wanted) {
      const std::vector<TokenId> own =
          sequential_ids(text, random(), static_cast<int64_t>(wanted - ids.size()));
      ids.insert(ids.end(), own.begin(), own.end());
    }
    ids.resize(wanted);
    script.prompt = fit_text(text, std::move(ids), tokens, random);
    script.input_tokens = tokens + text.added_tokens();
    scripts.push_back(std::move(script));
  });
  if (scripts.empty()) throw Error("{}: holds no request", options.path);
  std::stable_sort(scripts.begin(), scripts.end(),
                   [](const Script& a, const Script& b) { return a.arrival_s < b.arrival_s; });
  const double first_s = scripts.front().arrival_s;
  for (Script& script : scripts) script.arrival_s -= first_s;
  return scripts;
}

}  // namespace minimax::bench
