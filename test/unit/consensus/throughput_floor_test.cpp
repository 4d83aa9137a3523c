#include "consensus/throughput_floor.hpp"

#include <doctest/doctest.h>

using bftmeta::consensus::ThroughputFloor;

namespace {

// A replica of four that ticks twenty times a second, as one with work does.
struct Watched {
  ThroughputFloor floor{4};
  std::uint64_t now = 1'000'000'000;

  Watched() { floor.enter(now); }

  // `rate` bundles per second of `cost` each; whether it was slow at any moment.
  bool run(double seconds, std::uint64_t rate, std::uint64_t cost, bool backlog) {
    bool slow = false;
    double owed = 0;
    for (int tick = 0; tick < static_cast<int>(seconds * 20); ++tick) {
      now += 50'000;
      owed += static_cast<double>(rate) / 20;
      const auto whole = static_cast<std::uint64_t>(owed);
      owed -= static_cast<double>(whole);
      floor.executed({whole, whole * cost});
      floor.observe(backlog, now);
      slow = slow || floor.slow();
    }
    return slow;
  }
  void next_view() {
    floor.leave();
    floor.enter(now);
  }
};

}  // namespace

TEST_CASE("a primary that serves a backlog at less than half of its own best is slow") {
  Watched w;
  CHECK_FALSE(w.run(14, 1000, 4, true));
  CHECK_FALSE(w.run(30, 550, 4, true));  // a little above the floor
  CHECK(w.run(8, 450, 4, true));
  w.run(2.2, 1000, 4, true);  // the level falls with its cause
  CHECK_FALSE(w.floor.slow());
}

TEST_CASE("what an earlier view reached counts too, for n measured views") {
  Watched w;
  w.run(14, 1000, 4, true);
  w.next_view();
  CHECK(w.run(10, 100, 4, true));
  // The system has become slower for good: after n measured views nobody is suspected any more.
  for (int view = 0; view < 4; ++view) {
    w.next_view();
    w.run(14, 100, 4, true);
  }
  w.next_view();
  CHECK_FALSE(w.run(60, 100, 4, true));
}

TEST_CASE("views that end before they are measured push nothing out") {
  Watched w;
  w.run(14, 1000, 4, true);
  for (int i = 0; i < 20; ++i) {
    w.next_view();
    w.run(3, 10, 4, true);
  }
  w.next_view();
  CHECK(w.run(8, 100, 4, true));
}

TEST_CASE("L4 no backlog, no judgement: a light load is not a slow primary") {
  Watched w;
  w.run(14, 4000, 4, true);
  CHECK_FALSE(w.run(60, 3, 4, false));
  CHECK_FALSE(w.run(60, 0, 4, false));
}

TEST_CASE("L4 a new view has two seconds of grace, and one slow window is not enough") {
  Watched w;
  w.run(14, 1000, 4, true);
  w.next_view();
  CHECK_FALSE(w.run(2, 0, 4, true));
  CHECK_FALSE(w.run(30, 1000, 4, true));
  for (int i = 0; i < 10; ++i) {  // a stall of less than a window, now and then
    CHECK_FALSE(w.run(1.5, 0, 4, true));
    CHECK_FALSE(w.run(6.5, 1000, 4, true));
  }
}

TEST_CASE(
    "L4 the load may change: bundles a hundred times as dear are served as fast as they can be") {
  // A machine that needs 100 us for a bundle and 10 us for a unit of cost.
  const auto capacity = [](std::uint64_t cost) { return 1'000'000 / (100 + 10 * cost); };
  for (const std::uint64_t first : {1U, 4U, 64U, 1024U})
    for (const std::uint64_t second : {1U, 3U, 10U, 40U, 100U, 1000U, 4096U}) {
      CAPTURE(first);
      CAPTURE(second);
      Watched w;
      w.run(14, capacity(1), 1, true);
      w.run(14, capacity(first), first, true);
      w.run(14, capacity(4096), 4096, true);
      CHECK_FALSE(w.run(30, capacity(second), second, true));
      CHECK(w.run(8, capacity(second) * 2 / 5, second, true));
    }
}

TEST_CASE("a machine that was never seen to do sixteen bundles a second is not judged by rates") {
  Watched w;
  w.run(14, 10, 4, true);
  CHECK_FALSE(w.run(60, 0, 4, true));
}

TEST_CASE("L4 seconds without a tick are no slow window") {
  Watched w;
  w.run(14, 1000, 4, true);
  for (int i = 0; i < 20; ++i) {
    w.now += 900'000;
    w.floor.observe(true, w.now);
    CHECK_FALSE(w.floor.slow());
  }
}
