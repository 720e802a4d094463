#include "chat/tool_block.h"

#include <algorithm>
#include <random>
#include <utility>

#include "chat/coerce.h"
#include "chat/tag_scan.h"

namespace minimax::chat {
namespace {

constexpr std::string_view kInvoke = "<invoke";
constexpr std::string_view kInvokeEnd = "</invoke>";
constexpr std::string_view kParameter = "<parameter";
constexpr std::string_view kParameterEnd = "</parameter>";

}  // namespace

std::string make_call_id() {
  // Uniqueness matters, secrecy does not; seeded once a thread from the system.
  thread_local std::mt19937_64 generator{std::random_device{}()};
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) id += kHex[generator() % 16];
  return id;
}

bool ToolBlock::push(std::string_view text, bool bare, ParsedDelta& delta, std::string* rest) {
  buffer_ += text;
  while (true) {
    call_ended_ = false;
    bool more = false;
    switch (state_) {
      case State::kBetween: {
        const NameTag tag = match_name_tag(buffer_, kInvoke);
        if (tag.match == Match::kYes) {
          buffer_.erase(0, tag.bytes);
          begin_call(tag.name, delta);
          more = true;
        } else {
          more = tag.match == Match::kNo && read_between();
        }
        break;
      }
      case State::kInCall:
        more = read_call(delta);
        break;
      case State::kInValue:
        more = read_value(delta);
        break;
    }
    if (call_ended_ && bare) {
      *rest = std::exchange(buffer_, {});
      return true;
    }
    if (!more) return false;
  }
}

// Junk between calls is dropped, up to the next thing that may be a call.
bool ToolBlock::read_between() {
  const size_t next = buffer_.find('<', buffer_.starts_with('<') ? 1 : 0);
  buffer_.erase(0, next);
  return !buffer_.empty();
}

bool ToolBlock::read_call(ParsedDelta& delta) {
  const size_t tag_at = buffer_.find('<');
  buffer_.erase(0, tag_at);  // junk between parameters
  if (buffer_.empty()) return false;
  const NameTag parameter = match_name_tag(buffer_, kParameter);
  if (parameter.match == Match::kYes) {
    buffer_.erase(0, parameter.bytes);
    begin_value(parameter.name, delta);
    return true;
  }
  if (buffer_.starts_with(kInvokeEnd)) {
    buffer_.erase(0, kInvokeEnd.size());
    end_call(delta);
    return true;
  }
  const NameTag invoke = match_name_tag(buffer_, kInvoke);
  if (invoke.match == Match::kYes) {  // </invoke> is missing
    end_call(delta);
    call_ended_ = false;
    return true;
  }
  const bool partial = parameter.match == Match::kPartial || invoke.match == Match::kPartial ||
                       kInvokeEnd.starts_with(buffer_);
  if (partial) return false;
  buffer_.erase(0, 1);
  return true;
}

bool ToolBlock::read_value(ParsedDelta& delta) {
  size_t from = 0;
  while (true) {
    const size_t at = buffer_.find('<', from);
    const std::string_view before = std::string_view(buffer_).substr(0, at);
    if (at == std::string::npos) {
      value_text(before, delta);
      buffer_.clear();
      return false;
    }
    const std::string_view tail = std::string_view(buffer_).substr(at);
    const bool closed = tail.starts_with(kParameterEnd);
    // Without its closing tag a value ends where the next parameter, or the end of the call, begins.
    const Match next = closed ? Match::kNo : match_name_tag(tail, kParameter).match;
    if (closed || next == Match::kYes || tail.starts_with(kInvokeEnd)) {
      value_text(before, delta);
      if (closed) append_value(newline_, delta);
      buffer_.erase(0, at + (closed ? kParameterEnd.size() : 0));
      end_value(delta);
      return true;
    }
    if (next == Match::kPartial || kParameterEnd.starts_with(tail) || kInvokeEnd.starts_with(tail)) {
      value_text(before, delta);
      buffer_.erase(0, at);
      return false;
    }
    from = at + 1;
  }
}

void ToolBlock::begin_call(std::string name, ParsedDelta& delta) {
  static const std::vector<Tool> kNone;
  const std::vector<Tool>& tools = options_.tools ? *options_.tools : kNone;
  const auto known = std::ranges::find(tools, name, &Tool::name);
  tool_ = known == tools.end() ? nullptr : &*known;
  muted_ =
      options_.mute_all || (options_.single_call && next_index_ > 0) || (tool_ == nullptr && !tools.empty());
  state_ = State::kInCall;
  named_.clear();
  if (muted_) return;
  index_ = next_index_++;
  ToolCallDelta& call = delta_of(delta);
  call.begins = true;
  call.id = make_call_id();
  call.name = std::move(name);
}

const Json& ToolBlock::root() const {
  static const Json kNone;
  return tool_ == nullptr ? kNone : tool_->parameters;
}

void ToolBlock::begin_value(std::string name, ParsedDelta& delta) {
  static const Json kNoSchema;
  const Json* schema = tool_ == nullptr ? nullptr : find_parameter(tool_->parameters, name);
  schema_ = schema == nullptr ? &kNoSchema : schema;
  streams_ = types_of(*schema_, root()).string_only();
  value_.clear();
  newline_.clear();
  state_ = State::kInValue;
  if (muted_) return;
  repeated_ = !named_.insert(name).second;
  if (repeated_) return;
  std::string& out = delta_of(delta).arguments;
  out += named_.size() == 1 ? "{" : ", ";
  append_json_string(out, name);
  out += ": ";
  if (streams_) out += '"';
}

// A line break at the end is kept back: it belongs to the value only if more of it, or </parameter>, follows.
void ToolBlock::value_text(std::string_view text, ParsedDelta& delta) {
  if (text.empty()) return;
  append_value(std::exchange(newline_, {}), delta);
  if (text.ends_with('\n')) {
    text.remove_suffix(1);
    newline_ = "\n";
  }
  append_value(text, delta);
}

void ToolBlock::append_value(std::string_view text, ParsedDelta& delta) {
  if (text.empty() || muted_ || repeated_) return;
  if (streams_) {
    append_json_escaped(delta_of(delta).arguments, text);
  } else {
    value_ += text;
  }
}

void ToolBlock::end_value(ParsedDelta& delta) {
  newline_.clear();
  state_ = State::kInCall;
  if (muted_ || repeated_) return;
  std::string& out = delta_of(delta).arguments;
  if (streams_) {
    out += '"';
  } else {
    append_json(out, coerce(value_, *schema_, root()), kPythonStyle);
  }
}

void ToolBlock::end_call(ParsedDelta& delta) {
  state_ = State::kBetween;
  call_ended_ = true;
  if (muted_) return;
  ToolCallDelta& call = delta_of(delta);
  call.arguments += named_.empty() ? "{}" : "}";
  call.ends = true;
}

void ToolBlock::close(ParsedDelta& delta) {
  if (state_ == State::kInValue) {
    // What is held back here may be the beginning of a closing tag; cut off there, it is no part of the
    // value.
    if (!kParameterEnd.starts_with(buffer_) || buffer_.size() < 2) value_text(buffer_, delta);
    end_value(delta);
  }
  buffer_.clear();
  if (state_ == State::kInCall) end_call(delta);
  state_ = State::kBetween;
}

ToolCallDelta& ToolBlock::delta_of(ParsedDelta& delta) const {
  const auto known = std::ranges::find(delta.calls, index_, &ToolCallDelta::index);
  if (known != delta.calls.end()) return *known;
  ToolCallDelta& made = delta.calls.emplace_back();
  made.index = index_;
  return made;
}

}  // namespace minimax::chat
