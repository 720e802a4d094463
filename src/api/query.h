#pragma once
// The query of a request's target: NAME=VALUE pairs, percent-encoded (HTML standard, 5.1 of URL).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace minimax::api {

class Query {
 public:
  explicit Query(std::string_view text);

  // A name that is absent yields nothing; a value of another kind is a failure that names it.
  std::optional<bool> boolean(std::string_view name);  // true, false, True, False, 1, 0
  std::optional<int64_t> integer(std::string_view name);
  // Of a list: NAME=A&NAME=B, or with NAME[] as clients write it.
  std::vector<std::string> strings(std::string_view name) const;
  bool ok() const { return !failure_; }
  const Failure& failure() const { return *failure_; }

 private:
  const std::string* find(std::string_view name) const;

  std::vector<std::pair<std::string, std::string>> pairs_;
  std::optional<Failure> failure_;
};

}  // namespace minimax::api
