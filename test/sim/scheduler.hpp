// Virtual time: events run in order of (time, order of scheduling). One thread, no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

namespace bftmeta::sim {

class Scheduler {
 public:
  std::uint64_t now() const { return now_us_; }

  void at(std::uint64_t time_us, std::function<void()> run) {
    events_.emplace(std::pair{std::max(time_us, now_us_), order_++}, std::move(run));
  }
  void after(std::uint64_t delay_us, std::function<void()> run) {
    at(now_us_ + delay_us, std::move(run));
  }

  // Runs everything up to and including `until_us`; `stop` is asked after each event.
  template <class Stop>
  void run_until(std::uint64_t until_us, Stop stop) {
    while (!events_.empty() && events_.begin()->first.first <= until_us) {
      auto node = events_.extract(events_.begin());
      now_us_ = node.key().first;
      ++executed_;
      node.mapped()();
      if (stop()) return;
    }
    now_us_ = std::max(now_us_, until_us);
  }
  std::uint64_t executed() const { return executed_; }

 private:
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t order_ = 0;
  std::uint64_t executed_ = 0;
};

}  // namespace bftmeta::sim
