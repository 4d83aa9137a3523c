#include "tree/faults.hpp"

#include <algorithm>

namespace bftmeta::tree {

void Faults::report(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!first_) first_ = error;
}

Found Faults::value(Result<std::optional<Bytes>> found, Bytes& value) {
  if (!found) {
    report(found.error());
    return Found::unknown;
  }
  if (!*found) return Found::absent;
  value = std::move(**found);
  return Found::value;
}

bool Faults::known(const Status& status) {
  if (!status) report(status.error());
  return status.has_value();
}

std::optional<std::uint64_t> Faults::count(const Result<std::uint64_t>& n) {
  if (n) return *n;
  report(n.error());
  return std::nullopt;
}

std::optional<Error> Faults::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(first_, std::nullopt);
}

void Faults::rotten(const Subtree& subtree) {
  const std::lock_guard lock(mutex_);
  if (rotten_.size() < kMaxRotten && std::ranges::find(rotten_, subtree) == rotten_.end())
    rotten_.push_back(subtree);
}

std::vector<Subtree> Faults::take_rotten() {
  const std::lock_guard lock(mutex_);
  return std::exchange(rotten_, {});
}

}  // namespace bftmeta::tree
