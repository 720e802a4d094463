#pragma once
// The outcome of work done for one request. A failure always reaches the client as a status and a sentence,
// so it carries what the api room needs for that and nothing more.

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace minimax {

enum class FailureKind {
  kInvalid,        // the request is wrong: 400
  kNotFound,       // names something that does not exist: 404
  kTooLarge,       // a named limit was exceeded: 413
  kOverloaded,     // the queue is full, try later: 429
  kUnavailable,    // shutting down or not ready: 503
  kUnimplemented,  // known, but not offered by this server: 400 with a sentence that says so
  kInternal,       // our fault: 500
};

struct Failure {
  FailureKind kind = FailureKind::kInternal;
  std::string message;  // a full sentence for the client
  std::string param;    // the field at fault ("messages[2].content"), empty if none
};

inline Failure invalid(std::string message, std::string param = {}) {
  return {FailureKind::kInvalid, std::move(message), std::move(param)};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure failure) : value_(std::in_place_index<1>, std::move(failure)) {}

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok().
  T& value() & {
    CHECK(ok());
    return std::get<0>(value_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(value_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(value_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok().
  const Failure& failure() const {
    CHECK(!ok());
    return std::get<1>(value_);
  }

 private:
  std::variant<T, Failure> value_;
};

// The outcome of work that yields nothing but may fail.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Failure failure) : failure_(std::move(failure)) {}
  bool ok() const { return !failure_; }
  const Failure& failure() const {
    CHECK(failure_.has_value());
    return *failure_;
  }

 private:
  std::optional<Failure> failure_;
};

}  // namespace minimax
