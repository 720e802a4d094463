#pragma once
// Reads the members of a JSON object with types and bounds. The first member at fault is remembered; readers
// go on and look at the failure once at the end.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace minimax::api {

class Fields {
 public:
  // `prefix` goes before the names in failures, e.g. "messages[2].". The object must outlive this.
  explicit Fields(const Json& object, std::string prefix = {});

  // A member that is absent or null yields nothing. Numbers out of bounds and values of another type are a
  // failure that names the member, what was expected and what was found. Integers may be written as 5.0.
  std::optional<bool> boolean(std::string_view name);
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::string> string(std::string_view name);
  std::optional<std::vector<int64_t>> integers(std::string_view name, int64_t min, int64_t max);
  std::optional<std::vector<std::string>> strings(std::string_view name);
  const Json* object(std::string_view name);
  const Json* array(std::string_view name);
  // Any type; nullptr if absent or null.
  const Json* any(std::string_view name);
  // Known, and without effect here whatever its value.
  void ignore(std::string_view name) { any(name); }

  // Refuses the request if the member is there and not null: `sentence` says why.
  void refuse(std::string_view name, std::string_view sentence);

  // Remembers the first failure only. `name` may be empty: the request as a whole.
  void fail(std::string_view name, std::string message);
  bool ok() const { return !failure_; }
  const Failure& failure() const { return *failure_; }
  void adopt(Failure failure);

  // Members that nobody asked for.
  std::vector<std::string> unread() const;

 private:
  template <typename T>
  std::optional<T> wrong_type(std::string_view name, std::string_view expected, const Json& found);
  std::optional<int64_t> as_integer(const Json& value) const;

  const Json& object_;
  std::string prefix_;
  std::unordered_set<std::string> read_;
  std::optional<Failure> failure_;
};

}  // namespace minimax::api
