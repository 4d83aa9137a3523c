#include "consensus/throughput_floor.hpp"

#include <algorithm>

namespace bftmeta::consensus {

namespace {

Work highest(const Work& a, const Work& b) {
  return {std::max(a.bundles, b.bundles), std::max(a.cost, b.cost)};
}

}  // namespace

void ThroughputFloor::enter(std::uint64_t now_us) {
  best_here_ = {};
  restart(now_us + kGraceUs);
}

// Only a view that lasted long enough to be measured pushes an older one out: a storm of short
// views must not erase what is known.
void ThroughputFloor::leave() {
  if (best_here_.bundles != 0) previous_.push_back(best_here_);
  if (previous_.size() > views_) previous_.pop_front();
  best_here_ = {};
  low_windows_ = 0;
}

void ThroughputFloor::restart(std::uint64_t now_us) {
  window_start_ = now_us;
  open_ = {};
  samples_ = backlog_samples_ = 0;
  recent_.clear();
  low_windows_ = 0;
}

Work ThroughputFloor::rate(const Work& work, std::uint64_t length_us) {
  return {work.bundles * kRateUnitUs / length_us, work.cost * kRateUnitUs / length_us};
}

Work ThroughputFloor::best() const {
  Work best = best_here_;
  for (const Work& w : previous_) best = highest(best, w);
  return best;
}

bool ThroughputFloor::below_floor(const Window& window) const {
  const Work ever = best();
  if (ever.bundles < kLeastRate * (kRateUnitUs / 1'000'000)) return false;
  const Work now = rate(window.work, window.length_us);
  return 2 * now.bundles < ever.bundles && 2 * now.cost < ever.cost;
}

void ThroughputFloor::observe(bool backlog, std::uint64_t now_us) {
  if (now_us < window_start_) {  // grace
    open_ = {};
    return;
  }
  ++samples_;
  if (backlog) ++backlog_samples_;
  if (now_us - window_start_ >= kWindowUs) close_window(now_us);
}

void ThroughputFloor::close_window(std::uint64_t now_us) {
  const Window window{open_, now_us - window_start_};
  if (window.length_us > 2 * kWindowUs) return restart(now_us);  // nobody looked
  // "All the time", with room for the moment in which the last item is served and the next comes.
  const bool backlogged = samples_ >= kLeastSamples && 4 * backlog_samples_ >= 3 * samples_;
  low_windows_ = backlogged && below_floor(window) ? low_windows_ + 1 : 0;

  recent_.push_back(window);
  if (recent_.size() > kAverageWindows) recent_.pop_front();
  if (recent_.size() == kAverageWindows) {
    Work sum;
    std::uint64_t length = 0;
    for (const Window& w : recent_) {
      sum += w.work;
      length += w.length_us;
    }
    best_here_ = highest(best_here_, rate(sum, length));
  }
  window_start_ = now_us;
  open_ = {};
  samples_ = backlog_samples_ = 0;
}

}  // namespace bftmeta::consensus
