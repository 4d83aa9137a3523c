// What reads of a family of versions met: the first error, until somebody asks, and the places in
// which the store does not hold what their parents commit to, so that they can be repaired
// (src/transfer). Thread-safe.
#pragma once

#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "tree/reader.hpp"
#include "tree/region.hpp"

namespace bftmeta::tree {

class Faults {
 public:
  // More are met again once these are repaired.
  static constexpr std::size_t kMaxRotten = 64;

  // Results become what Reader answers, and their errors are kept.
  Found value(Result<std::optional<Bytes>> found, Bytes& value);
  bool known(const Status& status);
  std::optional<std::uint64_t> count(const Result<std::uint64_t>& n);
  std::optional<Error> take();

  void rotten(const Subtree& subtree);
  std::vector<Subtree> take_rotten();

 private:
  void report(const Error& error);

  std::mutex mutex_;
  std::optional<Error> first_;
  std::vector<Subtree> rotten_;  // none twice
};

}  // namespace bftmeta::tree
