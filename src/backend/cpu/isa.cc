#include "backend/cpu/isa/tables.h"
#include "backend/cpu/kernels.h"
#include "base/check.h"
#include "base/error.h"

namespace minimax::backend::cpu {

namespace {

bool runs_here(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if MINIMAX_X86_KERNELS
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bf16");
#endif
    default:
      return false;
  }
}

constexpr Isa kAllIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas)
    if (runs_here(isa)) isas.push_back(isa);
  return isas;
}

Isa choose_isa(std::string_view name) {
  if (name.empty()) return available_isas().back();
  for (const Isa isa : kAllIsas) {
    if (name != name_of(isa)) continue;
    if (!runs_here(isa)) throw Error("isa: this machine cannot run {} kernels", name);
    return isa;
  }
  throw Error("isa: expected scalar, avx2 or avx512, found \"{}\"", name);
}

const Kernels& kernels_of(Isa isa) {
  CHECK(runs_here(isa));
  switch (isa) {
#if MINIMAX_X86_KERNELS
    case Isa::kAvx2:
      return avx2_kernels();
    case Isa::kAvx512:
      return avx512_kernels();
#endif
    default:
      return scalar_kernels();
  }
}

}  // namespace minimax::backend::cpu
