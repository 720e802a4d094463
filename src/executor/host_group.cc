#include "executor/host_group.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "executor/step_bytes.h"

namespace minimax::executor {
namespace {

// A message: how many tokens the step before drew, those tokens, the step. An empty one is the end.
void begin_message(const std::vector<TokenId>& drawn, std::vector<std::byte>& out) {
  const auto count = static_cast<uint64_t>(drawn.size());
  out.resize(sizeof count + count * sizeof(TokenId));
  std::memcpy(out.data(), &count, sizeof count);
  if (count > 0) std::memcpy(out.data() + sizeof count, drawn.data(), count * sizeof(TokenId));
}

// Returns the rest of the message.
std::span<const std::byte> read_drawn(std::span<const std::byte> message, std::vector<TokenId>& drawn) {
  uint64_t count = 0;
  if (message.size() < sizeof count) throw Error("host 0 sent {} bytes; expected a step", message.size());
  std::memcpy(&count, message.data(), sizeof count);
  message = message.subspan(sizeof count);
  if (count > message.size() / sizeof(TokenId)) throw Error("host 0 sent a step that ends early");
  drawn.resize(count);
  if (count > 0) std::memcpy(drawn.data(), message.data(), count * sizeof(TokenId));
  return message.subspan(count * sizeof(TokenId));
}

void tokens_of(const StepResult& result, std::vector<TokenId>& out) {
  out.clear();
  for (const SampledToken& token : result.tokens) out.push_back(token.token);
}

}  // namespace

HostGroup::HostGroup(std::unique_ptr<Executor> own, comm::Hosts& hosts)
    : own_(std::move(own)), hosts_(hosts), limits_(own_->limits()) {
  limits_.pipeline_depth = 1;
}

HostGroup::~HostGroup() {
  if (failed_) return;
  try {
    hosts_.send({});
  } catch (const std::exception& error) {
    log::warning("{}", error.what());
  }
}

StepId HostGroup::submit(const StepBatch& batch) {
  begin_message(drawn_, message_);
  to_bytes(batch, message_);
  failed_ = true;  // unless what follows comes to its end
  hosts_.send(message_);
  const StepId step = own_->submit(batch);
  failed_ = false;
  return step;
}

void HostGroup::collect(StepId step, StepResult& result) {
  failed_ = true;
  own_->collect(step, result);
  failed_ = false;
  tokens_of(result, drawn_);
}

void follow(Executor& own, comm::Hosts& hosts) {
  StepBatch batch;
  StepResult result;
  std::vector<TokenId> drawn, drawn_by_first;
  while (true) {
    const std::vector<std::byte> message = hosts.receive();
    if (message.empty()) return;
    const std::span<const std::byte> step = read_drawn(message, drawn_by_first);
    if (drawn_by_first != drawn) {
      throw Error("host 0 drew the tokens {}, this host {}: they compute different things",
                  fmt::join(drawn_by_first, " "), fmt::join(drawn, " "));
    }
    from_bytes(step, batch);
    if (const std::string violation = find_violation(batch, own.limits()); !violation.empty())
      throw Error("host 0 sent a step that this host cannot take: {}", violation);
    own.collect(own.submit(batch), result);
    tokens_of(result, drawn);
  }
}

}  // namespace minimax::executor
