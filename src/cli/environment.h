#pragma once
// The environment variables minimax knows, read once in main and handed on: no other place calls getenv.

#include <string>

namespace minimax::cli {

struct Environment {
  std::string home;               // HOME
  std::string hf_home;            // HF_HOME
  std::string hf_hub_cache;       // HF_HUB_CACHE
  std::string xdg_cache_home;     // XDG_CACHE_HOME
  std::string api_key;            // VLLM_API_KEY
  std::string openai_api_key;     // OPENAI_API_KEY: what clients send
  std::string use_deep_gemm;      // VLLM_USE_DEEP_GEMM
  std::string launched_rank;      // OMPI_COMM_WORLD_RANK of mpirun or SLURM_PROCID of srun ...
  std::string launched_count;     // ... and OMPI_COMM_WORLD_SIZE or SLURM_STEP_NUM_TASKS
  bool no_color = false;          // NO_COLOR is set and not empty
  std::string executable_folder;  // of the running binary
};

Environment read_environment();

}  // namespace minimax::cli
