#include "backend/common/arithmetic.h"

#include "base/error.h"

namespace minimax::backend::common {

std::string_view name_of(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kBf16:
      return "bf16";
    case Arithmetic::kW8a16:
      return "w8a16";
    case Arithmetic::kW8a8:
      return "w8a8";
  }
  return "unknown";
}

Arithmetic parse_arithmetic(std::string_view name) {
  for (const Arithmetic arithmetic : {Arithmetic::kBf16, Arithmetic::kW8a16, Arithmetic::kW8a8})
    if (name == name_of(arithmetic)) return arithmetic;
  throw Error("arithmetic: expected bf16, w8a16 or w8a8, found \"{}\"", name);
}

}  // namespace minimax::backend::common
