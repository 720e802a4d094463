#pragma once
// The only place that builds the object graph: checkpoint, tokenizer, executor, engine, service, server.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/service.h"
#include "backend/factory.h"
#include "cli/environment.h"
#include "cli/plan.h"
#include "cli/serve_options.h"
#include "comm/hosts.h"
#include "model/checkpoint.h"
#include "model/tensors.h"
#include "server/http.h"
#include "tokenizer/tokenizer.h"

namespace minimax::cli {

// A model that can be computed: checkpoint, tokenizer, plan and executors. Members are in the order they need
// one another; destroyed in reverse.
class LoadedModel {
 public:
  // Throws Error.
  LoadedModel(const ServeOptions& options, const Environment& environment);
  // Reads the weights; logs what was resolved. hosts: over which the ranks are spread, all of which do this
  // at the same time; nullptr: there is one.
  void make_executors(const ServeOptions& options, comm::Hosts* hosts);

  const std::filesystem::path& dir() const { return dir_; }
  const model::ModelConfig& config() const { return config_; }
  const tokenizer::Tokenizer& tokenizer() const { return tokenizer_; }
  const ServePlan& plan() const { return plan_; }
  const std::vector<std::unique_ptr<executor::Executor>>& executors() const { return executors_; }

 private:
  void log_plan(const ServeOptions& options) const;
  std::string facts(const ServeOptions& options) const;
  const model::ModelView& view() const { return described_ ? described_->view() : view_; }

  std::filesystem::path dir_;
  model::ModelConfig config_;
  std::optional<model::Checkpoint> checkpoint_;     // or
  std::optional<model::DescribedModel> described_;  // with --load-format dummy
  model::ModelView view_;                           // of the checkpoint
  tokenizer::Tokenizer tokenizer_;
  ServePlan plan_;
  std::vector<std::unique_ptr<executor::Executor>> executors_;  // of the replicas
};

// A model that answers.
class ServedModel {
 public:
  // Throws Error. hosts: as above.
  ServedModel(const ServeOptions& options, const Environment& environment, comm::Hosts* hosts = nullptr);
  ~ServedModel();

  api::Service& service() { return *service_; }
  engine::Engine& engine() { return *engine_; }

 private:
  comm::Hosts* const hosts_;
  LoadedModel model_;
  std::unique_ptr<api::Metrics> metrics_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<api::Service> service_;
};

server::Options server_options(const ServeOptions& options);

// A server of this process on a free port of the loopback, for `minimax chat MODEL`.
class LocalServer {
 public:
  static std::unique_ptr<LocalServer> start(const std::string& model, const Environment& environment);
  ~LocalServer();
  std::string url() const;

 private:
  LocalServer() = default;
  std::unique_ptr<ServedModel> model_;
  std::unique_ptr<server::Server> server_;
  std::thread thread_;
};

}  // namespace minimax::cli
