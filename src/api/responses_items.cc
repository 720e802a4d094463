#include "api/responses_items.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "api/fields.h"
#include "api/sealed_thinking.h"
#include "api/translate.h"

namespace minimax::api {
namespace {

constexpr std::array<std::string_view, 3> kTextTypes{"input_text", "output_text", "text"};
constexpr std::array<std::string_view, 2> kReasoningTypes{"reasoning_text", "text"};

class Items {
 public:
  explicit Items(const Json::Array& before) {
    for (const Json& message : before) note_calls(message);
  }
  Status add(const Json& item, const std::string& place);
  Json take() {
    flush();
    return std::move(messages_);
  }

 private:
  // The message of the assistant that is being put together.
  struct Turn {
    std::optional<std::string> reasoning, content;
    Json calls;
  };

  Status add_message(const Json& item, const std::string& place);
  Status add_reasoning(const Json& item, const std::string& place);
  Status add_call(const Json& item, const std::string& place);
  Status add_result(const Json& item, const std::string& place);
  Turn& turn() { return turn_ ? *turn_ : turn_.emplace(); }
  void note_calls(const Json& message);
  void flush();

  Json messages_ = Json::array();
  std::optional<Turn> turn_;
  Json calls_;  // of the assistant's last message
};

void Items::note_calls(const Json& message) {
  if (*message.find("role") != Json("assistant")) return;
  const Json* calls = message.find("tool_calls");
  calls_ = calls == nullptr ? Json() : *calls;
}

void Items::flush() {
  if (!turn_) return;
  Json message = Json::object({{"role", "assistant"}, {"content", turn_->content.value_or("")}});
  if (turn_->reasoning) message.set("reasoning", std::move(*turn_->reasoning));
  if (!turn_->calls.is_null()) message.set("tool_calls", std::move(turn_->calls));
  note_calls(message);
  messages_.push_back(std::move(message));
  turn_.reset();
}

Status Items::add(const Json& item, const std::string& place) {
  if (!item.is_object()) {
    return invalid(fmt::format("{} must be an object with a type, not {}.", place, item.type_name()), place);
  }
  const Json* type = item.find("type");
  if (type == nullptr || type->is_null() || *type == Json("message")) return add_message(item, place);
  if (*type == Json("reasoning")) return add_reasoning(item, place);
  if (*type == Json("function_call")) return add_call(item, place);
  if (*type == Json("function_call_output")) return add_result(item, place);
  return invalid(fmt::format("{} has the type {}; message, reasoning, function_call, function_call_output "
                             "and item_reference are read.",
                             place, to_string(*type)),
                 place + ".type");
}

Status Items::add_message(const Json& item, const std::string& place) {
  Fields fields(item, place + ".");
  const std::string role = fields.string("role").value_or("");
  if (role != "user" && role != "assistant" && role != "system" && role != "developer") {
    fields.fail("role", place + ".role must be user, assistant, system or developer.");
  }
  const Json* content = fields.any("content");
  if (content == nullptr) fields.fail("content", place + " has no content.");
  if (!fields.ok()) return fields.failure();
  Result<std::string> text = text_content(*content, kTextTypes, "", place + ".content");
  if (!text.ok()) return text.failure();
  if (role == "assistant") {
    // Two messages in a row are two turns; text behind a call is the same turn's.
    if (turn_ && turn_->content && turn_->calls.is_null()) flush();
    turn().content = turn().content.value_or("") + *text;
    return {};
  }
  flush();
  messages_.push_back(
      Json::object({{"role", role == "user" ? "user" : "system"}, {"content", std::move(*text)}}));
  return {};
}

Status Items::add_reasoning(const Json& item, const std::string& place) {
  if (turn_ && (turn_->content || !turn_->calls.is_null())) flush();
  const Json* content = item.find("content");
  Result<std::string> text = std::string();
  if (content != nullptr && !content->is_null()) {
    text = text_content(*content, kReasoningTypes, "", place + ".content");
    if (!text.ok()) return text.failure();
  }
  // Summaries, and thinking that another server has sealed, say nothing here.
  if (const Json* sealed = item.find("encrypted_content");
      text->empty() && sealed != nullptr && sealed->is_string())
    text = opened_thinking(sealed->as_string()).value_or("");
  if (!text->empty()) turn().reasoning = turn().reasoning.value_or("") + *text;
  return {};
}

Status Items::add_call(const Json& item, const std::string& place) {
  Fields fields(item, place + ".");
  const std::optional<std::string> id = fields.string("call_id");
  const std::optional<std::string> name = fields.string("name");
  const std::optional<std::string> arguments = fields.string("arguments");
  if (!id) fields.fail("call_id", place + " has no call_id.");
  if (!name || name->empty()) fields.fail("name", place + " has no name.");
  if (!arguments) fields.fail("arguments", place + " has no arguments.");
  if (!fields.ok()) return fields.failure();
  const Result<Json> parsed = parse_json(arguments->empty() ? "{}" : *arguments);
  if (!parsed.ok() || !parsed->is_object()) {
    return invalid(place + ".arguments must hold a JSON object.", place + ".arguments");
  }
  turn().calls.push_back(
      Json::object({{"id", *id},
                    {"type", "function"},
                    {"function", Json::object({{"name", *name}, {"arguments", *arguments}})}}));
  return {};
}

Status Items::add_result(const Json& item, const std::string& place) {
  Fields fields(item, place + ".");
  const std::string id = fields.string("call_id").value_or("");
  const Json* output = fields.any("output");
  if (output == nullptr) fields.fail("output", place + " has no output.");
  if (!fields.ok()) return fields.failure();
  // A result is one string, parts are lines of it: the template prints lists differently.
  Result<std::string> text = text_content(*output, kTextTypes, "\n", place + ".output");
  if (!text.ok()) return text.failure();
  flush();
  const bool called = calls_.is_array() && std::ranges::any_of(calls_.as_array(), [&](const Json& call) {
                        return *call.find("id") == Json(id);
                      });
  if (!called) {
    return invalid(fmt::format("{}.call_id is {}, and the last turn of the assistant before it has no "
                               "function_call with that id.",
                               place, to_string(Json(id))),
                   place + ".call_id");
  }
  messages_.push_back(Json::object({{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(*text)}}));
  return {};
}

}  // namespace

Result<Json> messages_of_items(const Json& items, const std::string& place, const Json::Array& before) {
  if (items.is_string()) {
    return Json(Json::Array{Json::object({{"role", "user"}, {"content", items}})});
  }
  if (!items.is_array()) {
    return invalid(fmt::format("{} must be a string or a list of items, not {}.", place, items.type_name()),
                   place);
  }
  Items out(before);
  for (size_t i = 0; i < items.as_array().size(); ++i) {
    if (Status status = out.add(items.as_array()[i], fmt::format("{}[{}]", place, i)); !status.ok())
      return status.failure();
  }
  return out.take();
}

void join_leading_system(Json& messages) {
  Json::Array& list = messages.as_array();
  const auto is_system = [](const Json& message) { return *message.find("role") == Json("system"); };
  size_t count = 0;
  std::string text;
  for (; count < list.size() && is_system(list[count]); ++count) {
    if (count > 0) text += "\n\n";
    text += list[count].find("content")->as_string();
  }
  if (count < 2) return;
  list.front().set("content", std::move(text));
  list.erase(list.begin() + 1, list.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace minimax::api
