#include "client/latency.hpp"

#include <algorithm>

namespace bftmeta::client {

void Latency::add(Micros sample) {
  mean_ = count_ == 0 ? sample : mean_ - mean_ / 8 + sample / 8;
  ring_[next_] = sample;
  next_ = (next_ + 1) % kSamples;
  count_ = std::min(count_ + 1, kSamples);
  ++since_sorted_;
}

Micros Latency::quantile(double q, Micros otherwise) const {
  if (count_ < kEnough) return otherwise;
  if (since_sorted_ >= kRefresh) {
    std::copy_n(ring_.begin(), count_, sorted_.begin());
    std::sort(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(count_));
    sorted_count_ = count_;
    since_sorted_ = 0;
  }
  const auto index = static_cast<std::size_t>(q * static_cast<double>(sorted_count_));
  return sorted_[std::min(index, sorted_count_ - 1)];
}

Micros Latency::timeout(Micros least) const {
  constexpr Micros kAtFirst = 250'000;
  constexpr Micros kMost = 1'000'000;
  return std::clamp(4 * quantile(0.99, kAtFirst / 4), least, kMost);
}

}  // namespace bftmeta::client
