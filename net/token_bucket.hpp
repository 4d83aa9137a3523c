// Admission by rate: `rate` tokens per second, at most `burst` saved up. Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bftmeta::net {

class TokenBucket {
 public:
  TokenBucket(std::int64_t rate, std::int64_t burst, std::int64_t now_us)
      : rate_(rate), burst_(burst), level_(burst), filled_us_(now_us) {}

  // Takes nothing when there are fewer than `tokens`.
  bool take(std::int64_t tokens, std::int64_t now_us) {
    // A minute fills every bucket of this program; the cap keeps the product inside 64 bits.
    const std::int64_t elapsed = std::clamp<std::int64_t>(now_us - filled_us_, 0, 60'000'000);
    const std::int64_t added = elapsed * rate_ / 1'000'000;
    if (added > 0) {
      level_ = std::min(burst_, level_ + added);
      filled_us_ = now_us;
    }
    if (level_ < tokens) return false;
    level_ -= tokens;
    return true;
  }

 private:
  std::int64_t rate_;
  std::int64_t burst_;
  std::int64_t level_;
  std::int64_t filled_us_;
};

}  // namespace bftmeta::net
