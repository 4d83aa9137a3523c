// Latencies in microseconds, counted in buckets of which each is at most 1/64 wide of its value (1
// us below 128): quantiles are that exact, and memory is fixed. Thread-safety: plain value.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace bftmeta::admin {

class Histogram {
 public:
  void add(std::uint64_t us) {
    ++buckets_[index_of(us)];
    ++count_;
  }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
  }
  std::uint64_t count() const { return count_; }
  // The smallest bucket bound that at least this share (0..1) of the values does not exceed; 0 when
  // there are none.
  std::uint64_t quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > 0 && seen >= wanted) return upper_bound(i);
    }
    return 0;
  }

 private:
  // Values below 2 * kSub have their own bucket; every doubling above has kSub of them.
  static constexpr std::uint64_t kSub = 64;
  static constexpr std::uint64_t kMaxUs = (1ULL << 36) - 1;  // 19 hours
  static std::size_t index_of(std::uint64_t us) {
    const std::uint64_t v = us < kMaxUs ? us : kMaxUs;
    if (v < 2 * kSub) return v;
    const auto shift = static_cast<std::uint64_t>(std::bit_width(v)) - 7;
    return shift * kSub + (v >> shift);
  }
  static std::uint64_t upper_bound(std::size_t index) {
    if (index < 2 * kSub) return index;
    const std::uint64_t shift = index / kSub - 1;
    return ((index - shift * kSub + 1) << shift) - 1;
  }

  std::array<std::uint64_t, 32 * kSub> buckets_{};
  std::uint64_t count_ = 0;
};

}  // namespace bftmeta::admin
