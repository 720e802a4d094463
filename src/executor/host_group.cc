#include "executor/host_group.h"

#include <exception>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "executor/step_bytes.h"

namespace minimax::executor {
namespace {

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
  to_bytes(drawn_, batch, message_);
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
    if (message.empty()) return;  // the end
    from_bytes(message, drawn_by_first, batch);
    if (drawn_by_first != drawn) {
      throw Error("host 0 drew the tokens {}, this host {}: they compute different things",
                  fmt::join(drawn_by_first, " "), fmt::join(drawn, " "));
    }
    if (const std::string violation = find_violation(batch, own.limits()); !violation.empty())
      throw Error("host 0 sent a step that this host cannot take: {}", violation);
    own.collect(own.submit(batch), result);
    tokens_of(result, drawn);
  }
}

}  // namespace minimax::executor
