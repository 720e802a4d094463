// Constraints without a model: random texts that their masks allow, whether texts match, and what masks cost.
// The program behind tools/guided_proof.py; one JSON value a line in, one a line out.
//
//   guided_walk sample SEED COUNT   {"kind": ..., "source": ...} -> {"texts": [...], "open": n} or {"error":
//   ...} guided_walk match               {"kind": ..., "source": ..., "texts": [...]} -> {"matches": [...]}
//   or {"error": ...} guided_walk vocabulary SIZE     the made-up vocabulary, one JSON string of Latin-1
//   bytes a line guided_walk bench SIZE SEED     {"name": ..., "kind": ..., "source": ...} -> times in
//   microseconds

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <random>
#include <set>
#include <string>

#include "base/utf8.h"
#include "grammar/compiler.h"

namespace {

using namespace minimax;
using grammar::Compiler;
using grammar::Constraint;
using grammar::Machine;

// Of the kind that models have: the bytes, then words with and without a space, numbers, code and JSON
// punctuation, runs of spaces, other scripts, and pieces of characters.
class VocabularyMaker {
 public:
  explicit VocabularyMaker(size_t size) : size_(size) {}

  std::vector<std::string> make() {
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    for (int i = 0; i < 1000; ++i) add(std::to_string(i));
    for (size_t n = 2; n <= 80; ++n) {
      add(std::string(n, ' '));
      add(std::string(n, '\n'));
      add("\n" + std::string(n, ' '));
      add(std::string(n, '-'));
    }
    const std::string marks = "{}[]()<>\"':;,.\\/=+-*&|!?#@$%^~`_ \n";
    while (out_.size() < size_) {
      const unsigned kind = pick(100);
      if (kind < 4) {
        std::string text;
        for (unsigned n = 1 + pick(4); n > 0; --n) text += marks[pick(static_cast<unsigned>(marks.size()))];
        add(pick(3) == 0 ? text + word() : text);
      } else if (kind < 60) {
        add((pick(3) == 0 ? "" : " ") + capital(word()));
      } else if (kind < 66) {
        add((pick(2) == 0 ? "_" : ".") + word());
      } else if (kind < 96) {
        add(foreign());
      } else {
        const std::string text = foreign();
        add(text.substr(pick(static_cast<unsigned>(text.size()))));
      }
    }
    return out_;
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
  void add(const std::string& text) {
    if (!text.empty() && seen_.insert(text).second) out_.push_back(text);
  }
  std::string word() {
    constexpr const char* kBegin[] = {"b", "c", "d", "f", "g", "h", "k",  "l",  "m",  "n",
                                      "p", "r", "s", "t", "v", "w", "st", "tr", "ch", "pr"};
    constexpr const char* kMiddle[] = {"a", "e", "i", "o", "u", "ea", "ou", "io"};
    constexpr const char* kEnd[] = {"", "", "n", "r", "s", "t", "ng", "l", "nt", "ck"};
    std::string text;
    for (unsigned n = 1 + pick(4); n > 0; --n)
      text += std::string(kBegin[pick(20)]) + kMiddle[pick(8)] + kEnd[pick(10)];
    return text;
  }
  std::string capital(std::string text) {
    if (pick(4) == 0) text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text;
  }
  std::string foreign() {
    constexpr char32_t kScripts[][2] = {{0x410, 0x44F}, {0x4E00, 0x6FFF},  {0xAC00, 0xD7A0},
                                        {0x620, 0x64A}, {0x905, 0x939},    {0x3041, 0x3096},
                                        {0xC0, 0x17F},  {0x1F300, 0x1F64F}};
    const auto& script = kScripts[pick(8)];
    std::string text = pick(4) == 0 ? " " : "";
    for (unsigned n = 1 + pick(5); n > 0; --n)
      utf8::append(text, script[0] + pick(static_cast<unsigned>(script[1] - script[0])));
    return text;
  }

  const size_t size_;
  std::mt19937_64 random_{20};  // the vocabulary is always the same
  std::set<std::string> seen_;
  std::vector<std::string> out_;
};

// Processor time of this thread: what others run on the machine does not count.
double now_us() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

Constraint constraint_of(const Json& line) {
  Constraint out;
  const std::string kind = line.find("kind")->as_string();
  const Json& source = *line.find("source");
  using Kind = Constraint::Kind;
  out.kind = kind == "regex"     ? Kind::kRegex
             : kind == "grammar" ? Kind::kEbnf
             : kind == "choice"  ? Kind::kChoice
             : kind == "schema"  ? Kind::kJsonSchema
                                 : Kind::kJsonObject;
  if (out.kind == Kind::kJsonSchema) out.schema = source;
  if (out.kind == Kind::kRegex || out.kind == Kind::kEbnf) out.text = source.as_string();
  if (out.kind == Kind::kChoice) {
    for (const Json& one : source.as_array()) out.choices.push_back(one.as_string());
  }
  return out;
}

class Walker {
 public:
  Walker(Machine& machine, std::mt19937_64& random)
      : machine_(machine), random_(random), mask_(machine.vocabulary().mask_words()) {}

  // False: it came to no end.
  bool walk(std::string& text, std::vector<double>* mask_us = nullptr, std::vector<double>* steps = nullptr) {
    grammar::MatchWork work;
    grammar::ConfigId at = machine_.start();
    for (int step = 0; step < 600; ++step) {
      if (machine_.complete(at)) return true;
      if (machine_.accepting(at) && random_() % 3 == 0) return true;
      const double begin = now_us();
      const int64_t before = work.left();
      machine_.mask(at, mask_, work);
      if (mask_us != nullptr) mask_us->push_back(now_us() - begin);
      const int32_t token = choose(step);
      if (token < 0) return false;
      at = machine_.after_token(at, token, work);
      if (steps != nullptr) steps->push_back(static_cast<double>(before - work.left()));
      work.add_token();
      text += machine_.vocabulary().bytes(token);
    }
    return false;
  }

 private:
  bool allowed(int32_t id) const { return mask_[static_cast<size_t>(id) / 32] >> (id % 32) & 1; }

  // Any allowed token; now and then, and always in the end, one that closes something.
  int32_t choose(int step) {
    if (random_() % 4 == 0 || step > 60) {
      for (const char c : {'}', ']', '"', '0', ','}) {
        if (allowed(static_cast<unsigned char>(c)) && (step > 60 || random_() % 3 != 0))
          return static_cast<unsigned char>(c);
      }
    }
    ids_.clear();
    for (int32_t id = 0; id < machine_.vocabulary().size(); ++id) {
      if (allowed(id)) ids_.push_back(id);
    }
    return ids_.empty() ? -1 : ids_[random_() % ids_.size()];
  }

  Machine& machine_;
  std::mt19937_64& random_;
  std::vector<uint32_t> mask_;
  std::vector<int32_t> ids_;
};

Json sample(Machine& machine, std::mt19937_64& random, int count) {
  Json texts = Json::array();
  int open = 0;
  for (int i = 0; i < count; ++i) {
    std::string text;
    try {
      if (Walker(machine, random).walk(text)) {
        texts.push_back(text);
        continue;
      }
    } catch (const grammar::Refusal&) {  // it met a limit of matching
    }
    ++open;
  }
  return Json::object({{"texts", std::move(texts)}, {"open", open}});
}

Json match(Machine& machine, const Json& texts) {
  Json out = Json::array();
  for (const Json& text : texts.as_array()) {
    const grammar::ConfigId end = machine.after_bytes(machine.start(), text.as_string());
    out.push_back(end != grammar::kDead && machine.accepting(end));
  }
  return Json::object({{"matches", std::move(out)}});
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

Json bench(Compiler& compiler, const Json& line, std::mt19937_64& random) {
  const double begin = now_us();
  Result<std::shared_ptr<Machine>> machine = compiler.compile(constraint_of(line));
  const double compile_us = now_us() - begin;
  if (!machine.ok()) return Json::object({{"error", machine.failure().message}});
  std::vector<double> times, steps;
  std::string ended;
  for (int i = 0; i < 30; ++i) {
    std::string text;
    try {
      Walker(**machine, random).walk(text, &times, &steps);
    } catch (const grammar::Refusal& refusal) {  // as a sequence would end
      ended = refusal.message;
    }
  }
  if (times.empty() || steps.empty()) return Json::object({{"name", *line.find("name")}, {"ended", ended}});
  const double mean_us = mean_of(times);
  std::ranges::sort(times);
  return Json::object({{"name", *line.find("name")},
                       {"compile_us", compile_us},
                       {"masks", static_cast<int64_t>(times.size())},
                       {"mean_us", mean_us},
                       {"median_us", times[times.size() / 2]},
                       {"p99_us", times[times.size() * 99 / 100]},
                       {"worst_us", times.back()},
                       {"mean_steps", mean_of(steps)},
                       {"worst_steps", *std::ranges::max_element(steps)},
                       {"bytes", static_cast<int64_t>((*machine)->bytes_used())},
                       {"ended", ended}});
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const auto number = [&](int i, uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const bool with_size = verb == "bench" || verb == "vocabulary";
  const std::vector<std::string> tokens = VocabularyMaker(with_size ? number(2, 200'000) : 4'000).make();
  if (verb == "vocabulary") {
    for (const std::string& token : tokens) {
      std::string latin1;
      for (const char c : token) utf8::append(latin1, static_cast<unsigned char>(c));
      std::cout << to_string(Json(latin1)) << "\n";
    }
    return 0;
  }
  if (verb != "sample" && verb != "match" && verb != "bench") {
    std::cerr << "usage: guided_walk sample SEED COUNT | match | vocabulary SIZE | bench SIZE SEED\n";
    return 2;
  }
  std::mt19937_64 random(number(verb == "bench" ? 3 : 2, 1));
  Compiler compiler(tokens);
  for (std::string text; std::getline(std::cin, text);) {
    const Result<Json> line = parse_json(text);
    if (!line.ok()) {
      std::cerr << line.failure().message << "\n";
      return 1;
    }
    Json out;
    if (verb == "bench") {
      out = bench(compiler, *line, random);
    } else {
      Result<std::shared_ptr<Machine>> machine = compiler.compile(constraint_of(*line));
      out = !machine.ok()     ? Json::object({{"error", machine.failure().message}})
            : verb == "match" ? match(**machine, *line->find("texts"))
                              : sample(**machine, random, static_cast<int>(number(3, 3)));
    }
    std::cout << to_string(out) << "\n" << std::flush;
  }
  return 0;
}
