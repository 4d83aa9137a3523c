// A progress bar on stderr for what takes more than two seconds on a terminal; silent otherwise.
// Redrawn at most ten times a second, wiped when it is destroyed. Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace bftmeta::admin {

class Progress {
 public:
  // `total` in any unit; 0 when unknown, which shows a count instead of a bar.
  Progress(std::string label, std::uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::uint64_t done);

  // The line that is drawn: label, bar, percentage and remaining time (seconds), or label and
  // count.
  static std::string line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          std::uint64_t elapsed_ms);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPatience{2};
  static constexpr std::chrono::milliseconds kRedraw{100};

  std::string label_;
  std::uint64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_ = start_ + kPatience;
};

}  // namespace bftmeta::admin
