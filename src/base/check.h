#pragma once
// A failed CHECK is a bug in this program, never a consequence of input: it prints the values and aborts.
// Always compiled in. For bad input at start-up throw Error (error.h); for a bad request return Result.

#include <string>

#include <fmt/format.h>

namespace minimax {

[[noreturn]] void check_failed(const char* file, int line, const char* expression, const std::string& values);

}  // namespace minimax

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) ::minimax::check_failed(__FILE__, __LINE__, #condition, ""); \
  } while (false)

#define MINIMAX_CHECK_OP(op, a, b)                                            \
  do {                                                                        \
    const auto& check_a_ = (a);                                               \
    const auto& check_b_ = (b);                                               \
    if (!(check_a_ op check_b_)) {                                            \
      ::minimax::check_failed(__FILE__, __LINE__, #a " " #op " " #b,          \
                              ::fmt::format("{} vs {}", check_a_, check_b_)); \
    }                                                                         \
  } while (false)

// The operands must be printable by fmt.
#define CHECK_EQ(a, b) MINIMAX_CHECK_OP(==, a, b)
#define CHECK_NE(a, b) MINIMAX_CHECK_OP(!=, a, b)
#define CHECK_LT(a, b) MINIMAX_CHECK_OP(<, a, b)
#define CHECK_LE(a, b) MINIMAX_CHECK_OP(<=, a, b)
#define CHECK_GT(a, b) MINIMAX_CHECK_OP(>, a, b)
#define CHECK_GE(a, b) MINIMAX_CHECK_OP(>=, a, b)
