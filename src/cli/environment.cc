#include "cli/environment.h"

#include <cstdlib>
#include <filesystem>

namespace minimax::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Environment read_environment() {
  Environment environment;
  environment.home = variable("HOME");
  environment.hf_home = variable("HF_HOME");
  environment.hf_hub_cache = variable("HF_HUB_CACHE");
  environment.xdg_cache_home = variable("XDG_CACHE_HOME");
  environment.api_key = variable("VLLM_API_KEY");
  environment.openai_api_key = variable("OPENAI_API_KEY");
  environment.use_deep_gemm = variable("VLLM_USE_DEEP_GEMM");
  environment.launched_rank = variable("OMPI_COMM_WORLD_RANK");
  environment.launched_count = variable("OMPI_COMM_WORLD_SIZE");
  if (environment.launched_count.empty()) {
    environment.launched_rank = variable("SLURM_PROCID");
    environment.launched_count = variable("SLURM_STEP_NUM_TASKS");
  }
  environment.no_color = !variable("NO_COLOR").empty();
  std::error_code code;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", code);
  if (!code) environment.executable_folder = self.parent_path().string();
  return environment;
}

}  // namespace minimax::cli
