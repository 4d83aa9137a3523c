// The state store after power cuts: liblmdb's own writes and syncs, with any part of what was not
// synced on the disk, 512 B at a time (protocol §3.4).
#include <doctest/doctest.h>
#include <lmdb.h>

#include "storage-crash/store_life.hpp"

using namespace bftmeta;
using test::crash_image;
using test::FileEvent;
using test::Survival;

namespace {

constexpr std::uint64_t kGenerations = 12;

struct Verdicts {
  std::size_t images = 0;
  std::vector<std::string> wrong;
};

// Every moment of the life, every way to survive it. Stops at `enough` bad ones.
Verdicts sweep(const test::StoreLife& life, std::uint64_t seed, std::size_t enough) {
  std::mt19937_64 random(seed);
  Verdicts verdicts;
  for (std::size_t count = 0; count <= life.file.events.size(); ++count) {
    for (const Survival survival : test::kSurvivals) {
      if (verdicts.wrong.size() >= enough) return verdicts;
      ++verdicts.images;
      const std::string wrong =
          judge_image(life, count, crash_image(life.file, count, survival, random));
      if (!wrong.empty())
        verdicts.wrong.push_back("behind event " + std::to_string(count) + ", survival " +
                                 std::to_string(static_cast<int>(survival)) + ": " + wrong);
    }
  }
  return verdicts;
}

std::size_t count_of(const test::StoreLife& life, FileEvent::Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(life.file.events, kind, &FileEvent::kind));
}

}  // namespace

TEST_CASE("T3.6 a power cut at every write and sync of the state store leaves a committed state") {
  for (const std::uint64_t seed : {1, 2}) {
    CAPTURE(seed);
    const test::StoreLife life = test::record_life(seed, kGenerations);
    // Each commit syncs its pages, and what is durable then is not only what sync() made so.
    CHECK(count_of(life, FileEvent::Kind::sync) > kGenerations);
    CHECK(count_of(life, FileEvent::Kind::write) > 5 * kGenerations);
    const Verdicts verdicts = sweep(life, seed, 10);
    MESSAGE(verdicts.images << " images of " << life.file.events.size() << " events");
    for (const std::string& wrong : verdicts.wrong) FAIL_CHECK(wrong);
  }
}

TEST_CASE("T3.6 with MDB_NOSYNC switched on the same sweep finds damage") {
  test::added_lmdb_flags = MDB_NOSYNC;
  const test::StoreLife life = test::record_life(1, kGenerations);
  test::added_lmdb_flags = 0;
  const Verdicts verdicts = sweep(life, 1, 5);
  REQUIRE_FALSE(verdicts.wrong.empty());
  MESSAGE("the first after " << verdicts.images << " images: " << verdicts.wrong[0]);
}

TEST_CASE("a power cut while the store is made leaves none or an empty one, and it is made again") {
  const test::TempDir temp;
  const std::string beside = "state.new";
  const test::FileRecording recording(test::store_file(temp / beside));
  REQUIRE(storage::LmdbPageStore::open(temp / "state", test::kStoreOptions).has_value());
  const auto& events = recording.events();
  CHECK(std::ranges::count(events, FileEvent::Kind::renamed, &FileEvent::kind) == 1);
  std::mt19937_64 random(3);
  std::string name = beside;
  std::size_t refused_by_lmdb = 0;
  for (std::size_t count = 0; count <= events.size(); ++count) {
    if (count > 0 && events[count - 1].kind == FileEvent::Kind::renamed) name = "state";
    for (const Survival survival : test::kSurvivals) {
      CAPTURE(count);
      CAPTURE(survival);
      const Bytes image = crash_image(recording.history(), count, survival, random);
      CHECK(judge_image({}, count, image, name) == "");
      if (!judge_image({}, count, image).empty()) ++refused_by_lmdb;
    }
  }
  // Why it is not made in its place.
  CHECK(refused_by_lmdb > 0);
}
