#pragma once
// The tables of kernels, one per file of this folder. The files are compiled with flags of their instruction
// set, so nothing but these functions may leave them: an inline function of a shared header that such a file
// emits could be the copy the linker keeps for everybody, and would then run where it must not. They include
// only kernels.h, the compiler's intrinsics and the C++ headers of plain types, and keep all else in an
// unnamed namespace.

#include "backend/cpu/kernels.h"

#if defined(__x86_64__)
#define MINIMAX_X86_KERNELS 1
#else
#define MINIMAX_X86_KERNELS 0
#endif

namespace minimax::backend::cpu {

const Kernels& scalar_kernels();
#if MINIMAX_X86_KERNELS
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

}  // namespace minimax::backend::cpu
