// The damaged places of the state store: which wait for their repair, which were repaired, and
// when that becomes alarming (protocol §7.8). Thread-safety: one thread.
#pragma once

#include <deque>
#include <string>

#include "tree/region.hpp"

namespace bftmeta::replica {

class Repairs {
 public:
  static constexpr std::size_t kMaxWaiting = 256;  // more are met again
  static constexpr std::size_t kMaxDone = 4096;
  // Rotten again within this time: not what is stored there is wrong, but how.
  static constexpr std::int64_t kAgainUs = 600'000'000;
  static constexpr std::int64_t kDayUs = 86'400'000'000;
  static constexpr std::size_t kAlarm = 100;  // in a day

  void met(const std::vector<tree::Subtree>& places);
  bool waiting() const { return !waiting_.empty(); }
  std::vector<tree::Subtree> take() { return std::exchange(waiting_, {}); }

  void repaired(const std::vector<tree::Subtree>& places, std::int64_t now_us);
  bool repaired_lately(const tree::Subtree& place, std::int64_t now_us) const;

  std::uint64_t count() const { return count_; }  // since the start
  // One line for the operator; empty: no more than a disk may have.
  std::string alarm(std::int64_t now_us) const;

 private:
  struct Done {
    tree::Subtree place;
    std::int64_t at_us = 0;
  };
  std::vector<tree::Subtree> waiting_;  // none twice
  std::deque<Done> done_;               // in order of time
  std::uint64_t count_ = 0;
};

}  // namespace bftmeta::replica
