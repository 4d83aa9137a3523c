// Round-trip times of one kind of request: the last kSamples of them. Quantiles decide when a
// request counts as late. Thread-safety: one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bftmeta::client {

using Micros = std::uint64_t;

class Latency {
 public:
  void add(Micros sample);
  std::size_t samples() const { return count_; }  // at most kSamples
  // Exponentially weighted mean, 1/8 per sample; 0 before the first.
  Micros mean() const { return mean_; }
  // Of the kept samples, 0 < q < 1; `otherwise` while there are fewer than kEnough. Sorted anew at
  // most once per kRefresh samples.
  Micros quantile(double q, Micros otherwise) const;
  // When a request counts as lost: four times the 99th percentile, at least `least`, at most 1 s;
  // 250 ms while little is known.
  Micros timeout(Micros least) const;

 private:
  static constexpr std::size_t kSamples = 256;
  static constexpr std::size_t kEnough = 16;
  static constexpr std::size_t kRefresh = 16;

  std::array<Micros, kSamples> ring_{};
  std::size_t count_ = 0;
  std::size_t next_ = 0;
  Micros mean_ = 0;
  mutable std::array<Micros, kSamples> sorted_{};
  mutable std::size_t sorted_count_ = 0;
  mutable std::size_t since_sorted_ = kRefresh;
};

}  // namespace bftmeta::client
