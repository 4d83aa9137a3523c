// The simulator's only source of chance: SplitMix64 (Steele, Lea, Flood, OOPSLA'14), seeded once.
#pragma once

#include <cstdint>

namespace bftmeta::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform enough in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool chance(std::uint32_t per_mille) { return below(1000) < per_mille; }
  Random fork() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace bftmeta::sim
