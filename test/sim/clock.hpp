// The wall clock of one simulated replica: true time with an offset, a drift and jumps. It decides
// agreed time only; timers run on virtual time itself.
#pragma once

#include <cstdint>

namespace bftmeta::sim {

// Where virtual time 0 lies on every correct wall clock.
constexpr std::uint64_t kWallEpochUs = 1'700'000'000'000'000;

class Clock {
 public:
  // `offset_us`: how far it goes wrong even when it is kept in step by NTP.
  explicit Clock(std::int64_t offset_us = 0) : base_us_(offset_us), offset_us_(offset_us) {}

  std::uint64_t wall_us(std::uint64_t now_us) const {
    const auto since = static_cast<std::int64_t>(now_us - since_us_);
    const std::int64_t error = offset_us_ + since * drift_ppm_ / 1'000'000;
    return kWallEpochUs + now_us + static_cast<std::uint64_t>(error);
  }

  void jump(std::int64_t by_us) { offset_us_ += by_us; }
  void drift(std::int64_t ppm, std::uint64_t now_us) {
    offset_us_ += static_cast<std::int64_t>(now_us - since_us_) * drift_ppm_ / 1'000'000;
    since_us_ = now_us;
    drift_ppm_ = ppm;
  }
  // NTP has it again.
  void correct(std::uint64_t now_us) {
    offset_us_ = base_us_;
    since_us_ = now_us;
    drift_ppm_ = 0;
  }

 private:
  std::int64_t base_us_;
  std::int64_t offset_us_;
  std::int64_t drift_ppm_ = 0;
  std::uint64_t since_us_ = 0;
};

}  // namespace bftmeta::sim
