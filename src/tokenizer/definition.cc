#include "tokenizer/definition.h"

#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/byte_alphabet.h"

namespace minimax::tokenizer {
namespace {

// A value of the file for a message: short, whatever it is.
std::string shown(const Json* value) {
  if (value == nullptr) return "nothing";
  std::string text = to_string(*value);
  if (text.size() > 80) text = fmt::format("{} of {} bytes", value->type_name(), text.size());
  return text;
}

class Reader {
 public:
  Reader(const Json& root, const std::string& file_name) : root_(root), file_name_(file_name) {}

  Definition read() {
    if (!root_.is_object()) fail("the file", "an object", &root_);
    read_normalizer();
    read_pre_tokenizer();
    read_post_processor(root_.find("post_processor"), "post_processor");
    read_decoder(root_.find("decoder"), "decoder");
    // truncation and padding say how to batch texts for training; serving does neither.
    read_model();
    read_added_tokens();
    refuse_reachable_added_tokens();
    return std::move(definition_);
  }

 private:
  [[noreturn]] void fail(const std::string& field, std::string_view expected, const Json* found) const {
    throw Error("{}: {}: expected {}, found {}", file_name_, field, expected, shown(found));
  }

  bool read_bool(const Json& object, const std::string& field, std::string_view key, bool absent) const {
    const Json* value = object.find(key);
    if (value == nullptr) return absent;
    if (!value->is_bool()) fail(fmt::format("{}.{}", field, key), "true or false", value);
    return value->as_bool();
  }

  std::string read_string(const Json& object, const std::string& field, std::string_view key) const {
    const Json* value = object.find(key);
    if (value == nullptr || !value->is_string()) fail(fmt::format("{}.{}", field, key), "a string", value);
    return value->as_string();
  }

  // The members of a Sequence under `key`, or the value itself as the only one. Null: none.
  std::vector<std::pair<const Json*, std::string>> sequence(const Json* value, const std::string& field,
                                                            std::string_view key) const {
    if (value == nullptr || value->is_null()) return {};
    if (!value->is_object()) fail(field, "an object or null", value);
    if (read_string(*value, field, "type") != "Sequence") return {{value, field}};
    const Json* items = value->find(key);
    if (items == nullptr || !items->is_array()) fail(fmt::format("{}.{}", field, key), "an array", items);
    std::vector<std::pair<const Json*, std::string>> members;
    for (size_t i = 0; i < items->as_array().size(); ++i) {
      const std::string name = fmt::format("{}.{}[{}]", field, key, i);
      const Json& item = items->as_array()[i];
      if (!item.is_object()) fail(name, "an object", &item);
      members.emplace_back(&item, name);
    }
    return members;
  }

  void read_normalizer() const {
    const Json* normalizer = root_.find("normalizer");
    if (!sequence(normalizer, "normalizer", "normalizers").empty()) {
      fail("normalizer", "null (text is encoded as it comes)", normalizer);
    }
  }

  void read_pre_tokenizer() {
    const Json* value = root_.find("pre_tokenizer");
    bool byte_level = false;
    for (const auto& [item, field] : sequence(value, "pre_tokenizer", "pretokenizers")) {
      const std::string type = read_string(*item, field, "type");
      if (byte_level) fail(field, "nothing after ByteLevel", item);
      if (type == "Split") {
        read_split(*item, field);
      } else if (type == "ByteLevel") {
        byte_level = true;
        if (read_bool(*item, field, "add_prefix_space", true)) {
          fail(field + ".add_prefix_space", "false", item->find("add_prefix_space"));
        }
        if (read_bool(*item, field, "use_regex", true)) {
          definition_.splits.push_back({std::string(kGpt2Split), field + ".use_regex", false});
        }
      } else {
        fail(field + ".type", "Split or ByteLevel", item->find("type"));
      }
    }
    if (!byte_level) fail("pre_tokenizer", "a ByteLevel, alone or last of a Sequence", value);
  }

  void read_split(const Json& item, const std::string& field) {
    const Json* pattern = item.find("pattern");
    const Json* regex = pattern == nullptr ? nullptr : pattern->find("Regex");
    const Json* text = pattern == nullptr ? nullptr : pattern->find("String");
    SplitRule rule;
    rule.field = field + ".pattern";
    if (regex != nullptr && regex->is_string()) {
      rule.regex = regex->as_string();
      // In Oniguruma this intersects classes; PCRE2 would read two ampersands.
      if (rule.regex.find("&&") != std::string::npos) fail(rule.field, "a pattern without \"&&\"", regex);
    } else if (text != nullptr && text->is_string()) {
      for (const char c : text->as_string()) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           static_cast<unsigned char>(c) >= 0x80;
        if (!plain) rule.regex += '\\';
        rule.regex += c;
      }
    } else {
      fail(rule.field, "{\"Regex\": string} or {\"String\": string}", pattern);
    }
    const std::string behavior = read_string(item, field, "behavior");
    const bool invert = read_bool(item, field, "invert", false);
    // "Removed" and inverted keeps the matches and drops what lies between them.
    rule.drop_gaps = behavior == "Removed" && invert;
    if (!rule.drop_gaps && (behavior != "Isolated" || invert)) {
      fail(field, "behavior \"Isolated\", or \"Removed\" with invert true", &item);
    }
    definition_.splits.push_back(std::move(rule));
  }

  void read_post_processor(const Json* value, const std::string& field) const {
    for (const auto& [item, name] : sequence(value, field, "processors")) {
      const std::string type = read_string(*item, name, "type");
      if (type == "ByteLevel") continue;  // trims offsets only
      // A template that is the text alone adds nothing.
      if (type == "TemplateProcessing") {
        const Json* single = item->find("single");
        if (single != nullptr && single->is_array() && single->as_array().size() == 1 &&
            single->as_array()[0].find("Sequence") != nullptr) {
          continue;
        }
      }
      fail(name, "null or one that adds no tokens", item);
    }
  }

  void read_decoder(const Json* value, const std::string& field) const {
    const auto members = sequence(value, field, "decoders");
    if (members.size() != 1 || read_string(*members[0].first, members[0].second, "type") != "ByteLevel") {
      fail(field, "a ByteLevel", value);
    }
  }

  void read_model() {
    const Json* model = root_.find("model");
    if (model == nullptr || !model->is_object()) fail("model", "an object", model);
    if (const Json* type = model->find("type"); type != nullptr && *type != Json("BPE")) {
      fail("model.type", "\"BPE\"", type);
    }
    const auto refuse_unless_empty = [&](std::string_view key) {
      const Json* value = model->find(key);
      if (value != nullptr && !value->is_null() && *value != Json("")) {
        fail(fmt::format("model.{}", key), "null", value);
      }
    };
    refuse_unless_empty("continuing_subword_prefix");
    refuse_unless_empty("end_of_word_suffix");
    if (const Json* dropout = model->find("dropout"); dropout != nullptr && !dropout->is_null()) {
      if (!dropout->is_number() || dropout->as_double() != 0) fail("model.dropout", "null or 0", dropout);
    }
    if (read_bool(*model, "model", "byte_fallback", false)) {
      fail("model.byte_fallback", "false", model->find("byte_fallback"));
    }
    // unk_token and fuse_unk speak of characters without a token; here every byte has one.
    definition_.ignore_merges = read_bool(*model, "model", "ignore_merges", false);
    read_vocab(model->find("vocab"));
    read_merges(model->find("merges"));
  }

  Definition::Entry& entry(TokenId id) {
    if (static_cast<size_t>(id) >= definition_.entries.size()) {
      definition_.entries.resize(static_cast<size_t>(id) + 1);
    }
    return definition_.entries[static_cast<size_t>(id)];
  }

  TokenId read_id(const Json& value, const std::string& field) const {
    if (!value.is_int64() || value.as_int64() < 0 || value.as_int64() >= kIdLimit) {
      fail(field, fmt::format("an id from 0 to {}", kIdLimit - 1), &value);
    }
    return static_cast<TokenId>(value.as_int64());
  }

  void read_vocab(const Json* vocab) {
    if (vocab == nullptr || !vocab->is_object()) fail("model.vocab", "an object", vocab);
    ids_.reserve(vocab->as_object().size());
    for (const auto& [piece, value] : vocab->as_object()) {
      const std::string field = fmt::format("model.vocab[{}]", shown_text(piece));
      const TokenId id = read_id(value, field);
      Definition::Entry& place = entry(id);
      if (!place.bytes.empty()) fail(field, "an id of its own", &value);
      // A piece outside the byte alphabet cannot come from text. Files list such added tokens here, too.
      std::optional<std::string> bytes = bytes_of_piece(piece);
      if (piece.empty()) throw Error("{}: model.vocab: expected no empty token, found id {}", file_name_, id);
      if (!bytes) foreign_.emplace_back(piece, id);
      place = {std::move(bytes).value_or(piece), true};
      ids_.emplace(piece, id);
    }
    for (int byte = 0; byte < 256; ++byte) {
      const std::string piece = piece_of_bytes(std::string(1, static_cast<char>(byte)));
      if (ids_.find(piece) == ids_.end()) {
        throw Error(
            "{}: model.vocab: expected a token for each of the 256 bytes, found none for byte 0x{:02X} "
            "(\"{}\")",
            file_name_, byte, piece);
      }
    }
  }

  std::string shown_text(const std::string& piece) const {
    return to_string(Json(piece.size() > 80 ? "..." : piece));
  }

  TokenId id_of(const std::string& piece, size_t merge) const {
    const auto found = ids_.find(piece);
    if (found == ids_.end()) {
      throw Error("{}: model.merges[{}]: expected tokens of model.vocab, found {}", file_name_, merge,
                  shown_text(piece));
    }
    return found->second;
  }

  void read_merges(const Json* merges) {
    if (merges == nullptr || !merges->is_array()) fail("model.merges", "an array", merges);
    const Json::Array& items = merges->as_array();
    definition_.merges.reserve(items.size());
    std::string left, right;
    for (size_t i = 0; i < items.size(); ++i) {
      const Json& item = items[i];
      bool good = false;
      if (item.is_string()) {  // "a b"
        const std::string& both = item.as_string();
        const size_t space = both.find(' ');
        good = space != std::string::npos && both.find(' ', space + 1) == std::string::npos;
        if (good) {
          left = both.substr(0, space);
          right = both.substr(space + 1);
        }
      } else if (item.is_array() && item.as_array().size() == 2) {  // ["a", "b"]
        good = item.as_array()[0].is_string() && item.as_array()[1].is_string();
        if (good) {
          left = item.as_array()[0].as_string();
          right = item.as_array()[1].as_string();
        }
      }
      if (!good) fail(fmt::format("model.merges[{}]", i), "\"a b\" or [\"a\", \"b\"]", &item);
      definition_.merges.push_back({id_of(left, i), id_of(right, i), id_of(left + right, i)});
    }
  }

  void read_added_tokens() {
    const Json* tokens = root_.find("added_tokens");
    if (tokens != nullptr && !tokens->is_null()) {
      if (!tokens->is_array()) fail("added_tokens", "an array", tokens);
      for (size_t i = 0; i < tokens->as_array().size(); ++i) {
        read_added_token(tokens->as_array()[i], fmt::format("added_tokens[{}]", i));
      }
    }
    for (const auto& [piece, id] : foreign_) {
      if (definition_.entries[static_cast<size_t>(id)].base) {
        throw Error(
            "{}: model.vocab[{}]: expected a token in the byte alphabet or an added token, found neither",
            file_name_, shown_text(piece));
      }
    }
  }

  void read_added_token(const Json& item, const std::string& field) {
    if (!item.is_object()) fail(field, "an object", &item);
    AddedToken token;
    token.text = read_string(item, field, "content");
    if (token.text.empty()) fail(field + ".content", "a text that is not empty", item.find("content"));
    const Json* id = item.find("id");
    token.id = read_id(id == nullptr ? Json() : *id, field + ".id");
    token.special = read_bool(item, field, "special", false);
    for (const std::string_view key : {"lstrip", "rstrip", "single_word"}) {
      if (read_bool(item, field, key, false)) {
        fail(fmt::format("{}.{}", field, key), "false (tokens are found as they are written)",
             item.find(key));
      }
    }
    Definition::Entry& place = entry(token.id);
    const auto base = ids_.find(token.text);
    const bool same = base != ids_.end() && base->second == token.id;
    if (same && place.bytes.size() == 1) fail(field, "a text that is not the token of a byte", &item);
    if ((base != ids_.end() && !same) || (!place.bytes.empty() && !same) ||
        !texts_.insert(token.text).second) {
      fail(field, "a text and an id that no other token has", &item);
    }
    place = {token.text, false};
    (read_bool(item, field, "normalized", !token.special) ? definition_.added_normalized : definition_.added)
        .push_back(token);
  }

  // Ordinary text must never become a marker, so no merge may make one.
  void refuse_reachable_added_tokens() const {
    for (size_t i = 0; i < definition_.merges.size(); ++i) {
      const TokenId merged = definition_.merges[i].merged;
      if (!definition_.entries[static_cast<size_t>(merged)].base) {
        throw Error("{}: model.merges[{}]: expected a token of the base vocabulary, found the added token {}",
                    file_name_, i, shown_text(definition_.entries[static_cast<size_t>(merged)].bytes));
      }
    }
  }

  const Json& root_;
  const std::string& file_name_;
  Definition definition_;
  std::unordered_map<std::string, TokenId> ids_;          // by piece, as the file writes it
  std::vector<std::pair<std::string, TokenId>> foreign_;  // pieces outside the byte alphabet
  std::unordered_set<std::string> texts_;                 // of added tokens
};

}  // namespace

Definition parse_definition(std::string_view tokenizer_json, const std::string& file_name) {
  const Result<Json> root = parse_json(tokenizer_json);
  if (!root) throw Error("{}: expected JSON: {}", file_name, root.failure().message);
  return Reader(*root, file_name).read();
}

}  // namespace minimax::tokenizer
