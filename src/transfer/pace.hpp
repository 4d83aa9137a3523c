// A rate in bytes: what was spent has to drain before more is due. Both ends of a transfer count
// with it, so that an asker that keeps to it is never refused. Pure: time comes with each call, in
// microseconds. Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bftmeta::transfer {

// What an answer counts for: looking for a subtree costs something, too, whether it is there or
// not.
constexpr std::uint64_t cost_of(std::size_t answer_bytes, std::size_t subtrees) {
  constexpr std::uint64_t kLooking = 512;
  return answer_bytes + kLooking * (1 + subtrees);
}

class Pace {
 public:
  Pace(std::uint64_t bytes_per_second, std::uint64_t burst_bytes)
      : rate_(bytes_per_second), burst_bytes_(burst_bytes) {}

  std::uint64_t rate() const { return rate_; }
  bool open(std::uint64_t now_us) const { return opens_us() <= now_us; }
  // 0: it has always been open.
  std::uint64_t opens_us() const {
    const std::uint64_t burst_us = us_of(burst_bytes_);
    return drained_us_ > burst_us ? drained_us_ - burst_us : 0;
  }
  void spend(std::uint64_t bytes, std::uint64_t now_us) {
    drained_us_ = std::max(drained_us_, now_us) + us_of(bytes);
  }
  // What was spent drains at this rate from now on.
  void set_rate(std::uint64_t bytes_per_second, std::uint64_t now_us) {
    const std::uint64_t left_us = drained_us_ > now_us ? drained_us_ - now_us : 0;
    const std::uint64_t left = left_us * rate_ / 1'000'000;
    rate_ = bytes_per_second;
    if (left_us != 0) drained_us_ = now_us + us_of(left);
  }

 private:
  std::uint64_t us_of(std::uint64_t bytes) const { return bytes * 1'000'000 / rate_; }

  std::uint64_t rate_;
  std::uint64_t burst_bytes_;
  std::uint64_t drained_us_ = 0;
};

}  // namespace bftmeta::transfer
