// Is this primary slower than the system was seen to be? (protocol §5.5, after Aardvark's floor.)
// Judged is only a backlog: items that this replica knows, that a correct primary could have
// proposed and has not. Counted are only bundles that were executed for the first time, so that a
// primary cannot look busy with replays (T5.14).
//
// "The replica's own best for that load": the time that a load takes is about a + b * cost per
// bundle. Whatever the bundles cost, a saturated system then reaches half of its best rate in
// bundles or half of its best rate in cost: below b * cost = a the first, above it the second. So a
// primary is slow when both rates are below half of the best 10 s averages, of this view and of the
// last n measured ones. Why a fault-free run stays clear of it: docs/protocol.md §5.5.
// Pure: time comes with each call, in microseconds. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <deque>

namespace bftmeta::consensus {

struct Work {
  std::uint64_t bundles = 0;  // executed for the first time
  std::uint64_t cost = 0;     // their schema::cost_of

  Work& operator+=(const Work& w) {
    bundles += w.bundles;
    cost += w.cost;
    return *this;
  }
};

class ThroughputFloor {
 public:
  static constexpr std::uint64_t kGraceUs = 2'000'000;   // a new view fills its pipeline first
  static constexpr std::uint64_t kWindowUs = 2'000'000;  // one judgement
  static constexpr std::size_t kAverageWindows = 5;      // the best is one of 10 s averages
  // Two windows in a row: a stall of the machine, or a burst of waiting items, is shorter.
  static constexpr std::uint32_t kLowWindows = 2;
  // Bundles per second: below it a window holds too few for a rate, and age timers are enough.
  static constexpr std::uint64_t kLeastRate = 16;

  explicit ThroughputFloor(std::uint32_t views) : views_(views) {}

  void enter(std::uint64_t now_us);
  void leave();
  void executed(const Work& work) { open_ += work; }
  // Called with every tick. `backlog`: there is one now, and this replica itself is not behind.
  void observe(bool backlog, std::uint64_t now_us);

  // A level: the last kLowWindows windows were all below the floor.
  bool slow() const { return low_windows_ >= kLowWindows; }

 private:
  // With fewer ticks than this a window had little to wait for: there was no backlog all the time.
  static constexpr std::uint32_t kLeastSamples = 10;
  // Rates are kept per 1000 s, so that small ones keep their digits.
  static constexpr std::uint64_t kRateUnitUs = 1'000'000'000;

  struct Window {
    Work work;
    std::uint64_t length_us = 0;
  };

  bool below_floor(const Window& window) const;
  Work best() const;
  void close_window(std::uint64_t now_us);
  void restart(std::uint64_t now_us);
  static Work rate(const Work& work, std::uint64_t length_us);

  const std::uint32_t views_;
  std::deque<Work> previous_;  // best rates of the last views that were measured
  Work best_here_;             // of this view

  std::uint64_t window_start_ = 0;
  Work open_;
  std::uint32_t samples_ = 0;
  std::uint32_t backlog_samples_ = 0;
  std::deque<Window> recent_;  // the last kAverageWindows
  std::uint32_t low_windows_ = 0;
};

}  // namespace bftmeta::consensus
