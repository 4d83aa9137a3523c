// A scrub of the log, and what becomes of the segments in which it, or a read, finds rot.
#include "log_fixture.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using namespace bftmeta::storage::test;
using sim::SimulatedDisk;

namespace {

struct Scrubbed {
  SimulatedDisk disk{7};
  Writer w;

  explicit Scrubbed(LogOptions options = small_options(), std::uint64_t groups = 60)
      : w(disk, options) {
    REQUIRE(w.create());
    REQUIRE(w.open());
    REQUIRE(w.steps(groups));
  }
  LogCheck begun() {
    LogCheck check(disk, kDirectory, secret());
    check.begin(w.log->written());
    return check;
  }
  // The segments that are not what was written.
  std::vector<std::uint64_t> scrub(std::uint64_t slice = 1 << 20) {
    LogCheck check = begun();
    std::vector<std::uint64_t> damaged;
    for (int slices = 0;; ++slices) {
      REQUIRE(slices < 10'000);
      const LogCheck::Slice read = check.read(slice);
      for (const LogCheck::Damage& d : read.damaged) {
        CHECK_FALSE(d.why.empty());
        damaged.push_back(d.segment);
      }
      if (read.done) return damaged;
      CHECK(read.bytes >= slice);
    }
  }
  // How many of those that were given up are gone.
  std::uint64_t let_go() {
    const std::uint64_t before = w.log->damaged_gone();
    while (*w.log->let_go()) {
    }
    return w.log->damaged_gone() - before;
  }
  std::string path(std::uint64_t segment) const { return segment_path(kDirectory, segment); }
  bool exists(std::uint64_t segment) { return *disk.exists(path(segment)); }
  std::uint64_t newest() const { return w.log->written().back().id; }

  // Offsets of the groups of a segment, with their lengths without padding.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> groups(std::uint64_t segment) {
    const Bytes bytes = disk.contents(path(segment));
    std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
    for (std::uint64_t at = 0; at + kLogBlock <= bytes.size();) {
      const auto header =
          parse_group_header(ByteView(bytes).subspan(at), segment, at, bytes.size());
      if (!header) break;
      all.emplace_back(at, kGroupHeaderSize + header->length);
      at += padded_size(header->length);
    }
    return all;
  }
  void rot(std::uint64_t segment, std::size_t group) {
    disk.rot(path(segment), groups(segment).at(group).first + 90, 1);
  }
};

}  // namespace

TEST_CASE("a scrub of the log reads every group, in slices of any size, and finds nothing wrong") {
  Scrubbed s;
  REQUIRE(s.w.log->written().size() > 3);
  for (const std::uint64_t slice : {1U, 5'000U, 70'000U, 1U << 20}) CHECK(s.scrub(slice).empty());
  std::uint64_t written = 0;
  for (const WrittenSegment& segment : s.w.log->written()) {
    CHECK(segment.used <= segment.size);
    CHECK(s.groups(segment.id).size() > 1);
    written += segment.used;
  }
  CHECK(s.begun().read(1 << 30).bytes == written);
}

TEST_CASE("T7.7 a scrub of the log finds a flipped bit in any part of any group of any segment") {
  Scrubbed s;
  std::size_t places = 0;
  for (const WrittenSegment& segment : s.w.log->written())
    for (const auto& [at, length] : s.groups(segment.id))
      for (const std::uint64_t within : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{30},
                                         std::uint64_t{65}, length / 2, length - 1}) {
        CAPTURE(segment.id);
        CAPTURE(at + within);
        ++places;
        s.disk.rot(s.path(segment.id), at + within, 0x04);
        CHECK(s.scrub() == std::vector{segment.id});
        s.disk.rot(s.path(segment.id), at + within, 0x04);
      }
  CHECK(places > 150);
  CHECK(s.scrub().empty());
}

TEST_CASE("rot that is found in time costs no vote, not even that of two neighbouring groups") {
  for (const bool found : {false, true}) {
    CAPTURE(found);
    Scrubbed s({.segment_bytes = 1 << 20, .retain_bytes = 4 << 20}, 20);
    const std::uint64_t current = s.newest();
    const std::size_t groups = s.groups(current).size();
    REQUIRE(groups > 20);
    s.rot(current, groups - 3);
    s.rot(current, groups - 2);
    if (found) {
      for (const std::uint64_t segment : s.scrub()) CHECK(s.w.log->give_up(segment));
      CHECK_FALSE(s.w.log->give_up(current));
      REQUIRE(s.w.log->commit());  // with nothing to write
      CHECK(s.newest() == current + 1);
      CHECK(s.scrub() == std::vector{current});
    }
    s.w.log.reset();
    s.w.expect_damage = true;
    REQUIRE(s.w.open());
    CHECK(s.w.recovered.control_lost != found);
    if (!found) continue;
    for (std::uint64_t seq = Writer::first_live(20); seq <= 20; ++seq) CHECK(s.w.has_vote(seq));
  }
}

TEST_CASE("a damaged segment goes when the state store has what is in it, with those before it") {
  Scrubbed s;
  SUBCASE("the oldest") {
    const std::uint64_t oldest = oldest_segment(s.disk);
    s.rot(oldest, 1);
    CHECK(s.w.log->give_up(oldest));
    CHECK(s.let_go() == 1);
    CHECK_FALSE(s.exists(oldest));
    CHECK(s.exists(oldest + 1));
  }
  SUBCASE("the newest") {
    const std::uint64_t newest = s.newest();
    s.rot(newest, 1);
    CHECK(s.w.log->give_up(newest));
    CHECK(s.let_go() == 0);  // no other has the votes
    CHECK(s.exists(newest));
    REQUIRE(s.w.log->commit());
    CHECK(s.let_go() == 0);  // the newest batches are only there
    CHECK(s.exists(newest));
    REQUIRE(s.w.steps(kFlushLag));
    CHECK(s.let_go() == 1);
    CHECK_FALSE(s.exists(newest));
    CHECK(oldest_segment(s.disk) == newest + 1);
    CHECK(*s.w.log->read(kBatch, 60) == std::nullopt);
    CHECK(*s.w.log->read(kBatch, 61) == batch(61).payload);
  }
  CHECK(s.let_go() == 0);
  CHECK(s.scrub().empty());
  REQUIRE(s.w.steps(20));
  REQUIRE(s.w.open());  // everything that counts is there, and nothing looks damaged
}

TEST_CASE("what takes the place of a damaged segment bears rot itself, in each of its groups") {
  for (const std::size_t group : {0U, 1U}) {
    CAPTURE(group);
    Scrubbed s;
    CHECK(s.w.log->give_up(s.newest()));
    REQUIRE(s.w.log->commit());
    s.w.flushed = 60;
    s.w.log->set_flushed(60);
    CHECK(s.let_go() == 1);
    REQUIRE(s.w.log->written().size() == 1);
    s.rot(s.newest(), group);
    s.w.log.reset();
    s.w.expect_damage = true;
    REQUIRE(s.w.open());
    CHECK_FALSE(s.w.recovered.control_lost);
    for (std::uint64_t seq = Writer::first_live(60); seq <= 60; ++seq) CHECK(s.w.has_vote(seq));
  }
}

TEST_CASE("when all segments are damaged, none goes before a new one has the votes") {
  Scrubbed s;
  const auto damaged = s.w.log->written();
  for (const WrittenSegment& segment : damaged) {
    s.rot(segment.id, 1);
    CHECK(s.w.log->give_up(segment.id));
  }
  CHECK(s.let_go() == 0);
  for (const WrittenSegment& segment : damaged) CHECK(s.exists(segment.id));
  REQUIRE(s.w.steps(kFlushLag));
  CHECK(s.let_go() == damaged.size());
  for (const WrittenSegment& segment : damaged) CHECK_FALSE(s.exists(segment.id));
  REQUIRE(s.w.open());
}

TEST_CASE("the file of a damaged segment is not used again for another one") {
  Scrubbed s;
  const std::uint64_t oldest = oldest_segment(s.disk);
  s.disk.make_unreadable(s.path(oldest), 100);
  CHECK(s.scrub() == std::vector{oldest});
  CHECK(s.w.log->give_up(oldest));
  REQUIRE(s.w.steps(40));
  CHECK(oldest_segment(s.disk) > oldest);
  CHECK(s.scrub().empty());
}

TEST_CASE("what was recycled meanwhile is no damage") {
  Scrubbed s;
  LogCheck check = s.begun();
  CHECK_FALSE(check.read(1).done);  // the oldest is open now
  const std::uint64_t oldest = oldest_segment(s.disk);
  REQUIRE(s.w.steps(200));
  REQUIRE(oldest_segment(s.disk) > oldest + 2);
  for (LogCheck::Slice read; !read.done;) {
    read = check.read(10'000);
    for (const LogCheck::Damage& d : read.damaged) CHECK_FALSE(s.w.log->give_up(d.segment));
  }
  CHECK(s.let_go() == 0);
}

TEST_CASE("T7.7 a read that meets rot tells of it, once for each segment") {
  Scrubbed s;
  const std::uint64_t oldest = oldest_segment(s.disk);
  const std::uint64_t first = *s.w.log->oldest_body(kBatch);
  s.rot(oldest, 1);
  CHECK(s.w.log->take_damage().empty());
  CHECK(s.w.log->read(kBatch, first).error().code == Errc::corrupt);
  CHECK(s.w.log->read(kBatch, first).error().code == Errc::corrupt);
  const auto damaged = s.w.log->take_damage();
  REQUIRE(damaged.size() == 1);
  CHECK(damaged[0].segment == oldest);
  CHECK(s.w.log->take_damage().empty());
}
