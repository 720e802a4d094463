#include "chat/render.h"

#include "chat/render_python.h"

// The template is written out below in the order of its own text (chat_template.jinja of MiniMax-M2, with
// trim_blocks and lstrip_blocks set, as Hugging Face sets them). tools/compare_template.py compares the two
// over random conversations.

namespace minimax::chat {
namespace {

constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";
constexpr std::string_view kToolsBegin =
    "\n\n# Tools\n"
    "You may call one or more tools to assist with the user query.\n"
    "Here are the tools available in JSONSchema format:\n"
    "\n<tools>\n";
constexpr std::string_view kToolsEnd =
    "</tools>\n\n"
    "When making tool calls, use XML format to invoke tools and pass parameters:\n"
    "\n<minimax:tool_call>\n"
    "<invoke name=\"tool-name-1\">\n"
    "<parameter name=\"param-key-1\">param-value-1</parameter>\n"
    "<parameter name=\"param-key-2\">param-value-2</parameter>\n"
    "...\n"
    "</invoke>\n"
    "</minimax:tool_call>";

// Segments as they grow; neighbours of one origin are one segment.
class Prompt {
 public:
  void of_template(std::string_view text) { append(text, true); }
  void of_user(std::string_view text) { append(text, false); }
  std::vector<Segment> take() { return std::move(segments_); }

 private:
  void append(std::string_view text, bool from_template) {
    if (text.empty()) return;
    if (segments_.empty() || segments_.back().from_template != from_template) {
      segments_.push_back({{}, from_template});
    }
    segments_.back().text += text;
  }

  std::vector<Segment> segments_;
};

std::string field_of(size_t message_idx) {
  return fmt::format("messages[{}]", message_idx);
}

// Content as text: a string, or the text parts of a list; anything else as Python prints it. Null has become
// the empty string in api/; where it did not, it is taken for that, not for the word None.
std::string visible_text(const Json& content) {
  if (content.is_null()) return {};
  if (!content.is_array()) return python_str(content);
  std::string text;
  for (const Json& part : content.as_array()) {
    if (part.is_string()) {
      text += part.as_string();
      continue;
    }
    const Json* type = part.find("type");
    const Json* part_text = part.find("text");
    if (type != nullptr && *type == Json("text") && part_text != nullptr) text += python_str(*part_text);
  }
  return text;
}

class Renderer {
 public:
  Renderer(const Conversation& conversation, const RenderOptions& options)
      : conversation_(conversation), options_(options), messages_(conversation.messages) {
    first_ = !messages_.empty() && messages_[0].role == Role::kSystem ? 1 : 0;
    for (size_t i = first_; i < messages_.size(); ++i) {
      if (messages_[i].role == Role::kUser) turn_begin_ = i + 1;
    }
  }

  Result<std::vector<Segment>> render() {
    system();
    for (size_t i = first_; i < messages_.size(); ++i) {
      switch (messages_[i].role) {
        case Role::kSystem:  // only the first message can be the system's
          break;
        case Role::kUser:
          prompt_.of_template("]~b]user\n");
          prompt_.of_user(visible_text(messages_[i].content));
          prompt_.of_template("[e~[\n");
          break;
        case Role::kAssistant:
          assistant(i);
          break;
        case Role::kTool:
          if (Status status = tool_result(i); !status.ok()) return status.failure();
          break;
      }
    }
    if (conversation_.add_generation_prompt && !conversation_.continue_final_message) {
      prompt_.of_template("]~b]ai\n<think>\n");
    }
    return prompt_.take();
  }

 private:
  void system() {
    prompt_.of_template("]~!b[]~b]system\n");
    const Message* message = first_ == 1 ? &messages_[0] : nullptr;
    const Json* identity = conversation_.template_kwargs.find("model_identity");
    if (message != nullptr && python_truth(message->content)) {
      prompt_.of_user(visible_text(message->content));
    } else if (identity != nullptr) {
      prompt_.of_user(python_str(*identity));
    } else {
      prompt_.of_template(options_.model_identity);
    }
    if (message != nullptr && message->current_date && !message->current_date->empty()) {
      prompt_.of_template("\nCurrent date: ");
      prompt_.of_user(*message->current_date);
    }
    if (message != nullptr && message->current_location && !message->current_location->empty()) {
      prompt_.of_template("\nCurrent location: ");
      prompt_.of_user(*message->current_location);
    }
    if (!conversation_.tools.empty()) {
      prompt_.of_template(kToolsBegin);
      for (const Tool& tool : conversation_.tools) {
        prompt_.of_template("<tool>");
        prompt_.of_user(to_string(tool.function, kPythonStyle));
        prompt_.of_template("</tool>\n");
      }
      prompt_.of_template(kToolsEnd);
    }
    prompt_.of_template("[e~[\n");
  }

  void assistant(size_t idx) {
    const Message& message = messages_[idx];
    const bool continued = conversation_.continue_final_message && idx + 1 == messages_.size();
    prompt_.of_template("]~b]ai\n");
    const std::string text = visible_text(message.content);
    std::string_view content = text;
    std::string_view reasoning;
    if (message.reasoning) {
      reasoning = *message.reasoning;
    } else if (const size_t end = content.find(kThinkEnd); end != std::string_view::npos) {
      // A client that kept the raw text sends the thinking inside the content.
      reasoning = strip(content.substr(0, end), '\n');
      if (const size_t begin = reasoning.rfind(kThinkBegin); begin != std::string_view::npos) {
        reasoning = strip(reasoning.substr(begin + kThinkBegin.size()), '\n');
      }
      content = content.substr(content.rfind(kThinkEnd) + kThinkEnd.size());
      // What is to be continued keeps the newlines it ends with.
      content = continued ? strip_left(content, '\n') : strip(content, '\n');
    }
    // Thinking is shown only in the turn that is still open: after the last user message.
    if (!reasoning.empty() && idx >= turn_begin_) {
      prompt_.of_template("<think>\n");
      prompt_.of_user(reasoning);
      prompt_.of_template("\n</think>\n\n");
    }
    prompt_.of_user(content);
    called_ = !message.tool_calls.empty();
    if (continued) return;  // the prompt ends with the text, calls or not
    if (called_) tool_calls(message);
    prompt_.of_template("[e~[\n");
  }

  void tool_calls(const Message& message) {
    prompt_.of_template("\n<minimax:tool_call>\n");
    for (const ToolCall& call : message.tool_calls) {
      CHECK(call.arguments.is_object());
      prompt_.of_template("<invoke name=\"");
      prompt_.of_user(call.name);
      prompt_.of_template("\">\n");
      for (const auto& [key, value] : call.arguments.as_object()) {
        prompt_.of_template("<parameter name=\"");
        prompt_.of_user(key);
        prompt_.of_template("\">");
        prompt_.of_user(value.is_string() ? value.as_string() : to_string(value, kPythonStyle));
        prompt_.of_template("</parameter>\n");
      }
      prompt_.of_template("</invoke>\n");
    }
    prompt_.of_template("</minimax:tool_call>");
  }

  Status tool_result(size_t idx) {
    if (!called_) {
      return invalid("A message with the role tool must follow a message of the assistant with tool_calls.",
                     field_of(idx));
    }
    // Neighbouring results share one message.
    if (idx == first_ || messages_[idx - 1].role != Role::kTool) prompt_.of_template("]~b]tool");
    const Json& content = messages_[idx].content;
    if (content.is_string() || content.is_null()) {
      prompt_.of_template("\n<response>");
      prompt_.of_user(visible_text(content));
      prompt_.of_template("</response>");
    } else if (content.is_array()) {
      for (const Json& part : content.as_array()) response_part(part);
    } else if (content.is_object()) {
      for (const auto& [key, value] : content.as_object()) response_part(Json(key));
    } else {
      return invalid(
          fmt::format("The content of a tool's message must be a string or a list; this one's type is {}.",
                      content.type_name()),
          field_of(idx) + ".content");
    }
    if (idx + 1 == messages_.size() || messages_[idx + 1].role != Role::kTool) {
      prompt_.of_template("[e~[\n");
    }
    return {};
  }

  void response_part(const Json& part) {
    const Json* shown = &part;
    const Json* type = part.find("type");
    if (const Json* output = part.find("output")) {
      shown = output;
    } else if (const Json* text = part.find("text");
               text != nullptr && type != nullptr && *type == Json("text")) {
      shown = text;
    }
    prompt_.of_template("\n<response>");
    prompt_.of_user(python_str(*shown));
    prompt_.of_template("\n</response>");
  }

  const Conversation& conversation_;
  const RenderOptions& options_;
  const std::vector<Message>& messages_;
  size_t first_ = 0;       // index of the first message after the system's
  size_t turn_begin_ = 0;  // index after the last user message
  bool called_ = false;    // the last assistant message has tool calls
  Prompt prompt_;
};

}  // namespace

Result<std::vector<Segment>> render(const Conversation& conversation, const RenderOptions& options) {
  const std::vector<Message>& messages = conversation.messages;
  if (conversation.continue_final_message && (messages.empty() || messages.back().role != Role::kAssistant)) {
    return invalid("continue_final_message needs a last message of the assistant to continue.",
                   messages.empty() ? "messages" : field_of(messages.size() - 1));
  }
  if (options.own) return render_own(conversation, *options.own);
  return Renderer(conversation, options).render();
}

std::string joined(const std::vector<Segment>& segments) {
  std::string text;
  for (const Segment& segment : segments) text += segment.text;
  return text;
}

std::vector<tokenizer::TokenId> encode(const tokenizer::Tokenizer& tokenizer,
                                       const std::vector<Segment>& segments) {
  std::vector<tokenizer::TextSpan> spans;
  spans.reserve(segments.size());
  for (const Segment& segment : segments) spans.push_back({segment.text, segment.from_template});
  return tokenizer.encode(spans);
}

}  // namespace minimax::chat
