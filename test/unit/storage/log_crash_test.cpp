#include "log_fixture.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using namespace bftmeta::storage::test;
using sim::SimulatedDisk;

namespace {

constexpr std::uint64_t kGroups = 40;

// From nothing to kGroups groups; gives up where the power goes off.
Status whole_life(Writer& w) {
  BFTMETA_TRY(w.create());
  BFTMETA_TRY(w.open());
  return w.steps(kGroups);
}

std::uint64_t operations_of_a_life() {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(whole_life(w));
  // The sweep is worth something only if segments were recycled on the way.
  REQUIRE(oldest_segment(disk) > 2);
  return disk.operations();
}

// After a power cut: all that was acknowledged is there; the log can be written on and survives a
// second cut at the worst moment.
void recover_twice(SimulatedDisk& disk, Writer& w, SimulatedDisk::Survival survival) {
  disk.restart(survival);
  if (!*disk.exists(kDirectory)) {
    CHECK(w.acknowledged == 0);
    return;
  }
  REQUIRE(w.open());
  const std::uint64_t before = w.acknowledged;
  REQUIRE(w.steps(3));
  CHECK(w.acknowledged > before);
  disk.restart(SimulatedDisk::Survival::none);
  REQUIRE(w.open());
}

}  // namespace

TEST_CASE("T3.1 T3.8 power cut at every write, sync and name change, recycling included") {
  const std::uint64_t operations = operations_of_a_life();
  using Survival = SimulatedDisk::Survival;
  for (std::uint64_t at = 0; at < operations; ++at) {
    for (const Survival survival : {Survival::none, Survival::all, Survival::some}) {
      CAPTURE(at);
      CAPTURE(survival);
      SimulatedDisk disk(at);
      disk.cut_power_at(at);
      Writer w(disk);
      CHECK_FALSE(whole_life(w));
      recover_twice(disk, w, survival);
    }
  }
}

TEST_CASE("T3.8 two power cuts in a row while a segment is opened by recycling the oldest") {
  // With nothing retained, the segment that holds the last state is next in line for recycling as
  // soon as an empty one stands behind it.
  LogOptions options = small_options();
  options.retain_bytes = 0;
  constexpr std::uint64_t kOperationsOfAStep = 8;
  using Survival = SimulatedDisk::Survival;
  for (std::uint64_t first = 0; first < kOperationsOfAStep; ++first) {
    for (std::uint64_t second = 0; second < kOperationsOfAStep; ++second) {
      for (const Survival survival : {Survival::none, Survival::all, Survival::some}) {
        CAPTURE(first);
        CAPTURE(second);
        SimulatedDisk disk(first * 10 + second);
        Writer w(disk, options);
        REQUIRE(w.create());
        REQUIRE(w.open());
        REQUIRE(w.steps(20));
        // Everything is flushed: no body pins a segment.
        w.flushed = w.appended;
        for (const std::uint64_t cut : {first, second}) {
          disk.restart(survival);
          REQUIRE(w.open());
          w.log->set_flushed(w.flushed);
          disk.cut_power_at(cut);
          const Status interrupted = w.step();
          if (interrupted) w.flushed = w.appended;
        }
        disk.restart(survival);
        REQUIRE(w.open());
      }
    }
  }
}

TEST_CASE("T3.2 any subset of unsynced sectors survives, again and again") {
  std::mt19937_64 random(32);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    SimulatedDisk disk(seed);
    Writer w(disk);
    REQUIRE(w.create());
    for (int life = 0; life < 8; ++life) {
      REQUIRE(w.open());
      disk.cut_power_at(random() % 40);
      CHECK_FALSE(w.steps(kGroups));
      disk.restart(SimulatedDisk::Survival::some);
    }
  }
}

TEST_CASE(
    "T3.3 a sync that fails once stops the log, and what it did not make durable is not believed") {
  for (const bool power_cut_later : {false, true}) {
    SimulatedDisk disk(3);
    Writer w(disk);
    REQUIRE(w.create());
    REQUIRE(w.open());
    REQUIRE(w.steps(4));
    disk.fail_next_sync();
    const Status failed = w.step();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == Errc::io);
    // The disk works again, the log does not: it cannot know what was lost.
    const Status again = w.step();
    REQUIRE_FALSE(again);
    CHECK(again.error().message == failed.error().message);
    CHECK(w.log->durable() == 8);

    REQUIRE(w.open());
    CHECK_FALSE(w.has_vote(5));
    REQUIRE(w.steps(2));
    if (power_cut_later) disk.restart(SimulatedDisk::Survival::none);
    REQUIRE(w.open());
  }
}

TEST_CASE("what a killed process wrote and did not sync is made durable before it is believed") {
  SimulatedDisk disk(4);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  REQUIRE(w.steps(2));
  // The sync of the third group does not happen: the process is killed, the machine lives on. Power
  // comes back here with all that was cached, which is the same.
  disk.cut_power_at(1);
  CHECK_FALSE(w.step());
  disk.restart(SimulatedDisk::Survival::all);
  REQUIRE(w.open());
  CHECK(w.has_vote(3));
  REQUIRE(w.step());
  disk.restart(SimulatedDisk::Survival::none);
  REQUIRE(w.open());
}

TEST_CASE("T3.14 control state outlives every segment in which it was written") {
  SimulatedDisk disk(14);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  const Record view{7, RecordClass::control, 0, std::nullopt, to_bytes("entered view 3")};
  w.log->set_state_provider([&] { return std::vector{view}; });
  w.log->append(view);
  REQUIRE(w.log->commit());
  const std::uint64_t written_in = 2;
  CHECK(oldest_segment(disk) <= written_in);
  for (std::uint64_t seq = 1; seq <= 200; ++seq) {
    w.log->append(batch(seq));
    REQUIRE(w.log->commit());
    w.log->set_flushed(seq);
  }
  CHECK(oldest_segment(disk) > written_in);
  disk.restart(SimulatedDisk::Survival::none);
  w.flushed = 200;
  REQUIRE(w.open());
  CHECK(w.recovered.tail == LogTail::clean);
  CHECK(w.recovered.records == std::vector{view});
}
