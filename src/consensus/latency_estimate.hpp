// About the 99th percentile of a series of waiting times: the highest of each hundred, smoothed. A
// mean would hide the few that matter to a timeout. Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bftmeta::consensus {

class LatencyEstimate {
 public:
  void add(std::uint64_t us) {
    peak_ = std::max(peak_, us);
    if (++count_ < kGroup) return;
    smoothed_ = smoothed_ == 0 ? peak_ : (3 * smoothed_ + peak_) / 4;
    peak_ = 0;
    count_ = 0;
  }
  // Microseconds; 0 before the first sample.
  std::uint64_t p99() const { return smoothed_ == 0 ? peak_ : smoothed_; }

 private:
  static constexpr std::uint32_t kGroup = 100;

  std::uint64_t smoothed_ = 0;
  std::uint64_t peak_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace bftmeta::consensus
