#include "log_fixture.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using namespace bftmeta::storage::test;
using sim::SimulatedDisk;

namespace {

// One segment is enough for all groups, so that offsets are easy to find.
LogOptions wide_options() { return {.segment_bytes = 1 << 20, .retain_bytes = 4 << 20}; }

struct Place {
  std::string path;
  std::uint64_t offset = 0;
  GroupHeader header;
};

// Where the group with this vote lies; the state group of a segment for seq 0.
Place find_group(SimulatedDisk& disk, std::uint64_t seq) {
  const auto names = disk.list(kDirectory);
  for (const std::string& name : *names) {
    if (!name.starts_with("log-")) continue;
    const std::uint64_t id = std::stoull(name.substr(4), nullptr, 16);
    const Bytes bytes = disk.contents(kDirectory + "/" + name);
    for (std::uint64_t at = 0; at + kLogBlock <= bytes.size(); at += kLogBlock) {
      const ByteView rest = ByteView(bytes).subspan(at);
      const auto header = parse_group_header(rest, id, at, bytes.size());
      if (!header) continue;
      const auto group = decode_group(secret(), *header, rest);
      if (!group) continue;
      const bool is_state = (header->flags & group_flags::kState) != 0 && id > 1;
      if (seq == 0 ? is_state : !is_state && group->records == std::vector{vote(seq), batch(seq)})
        return {kDirectory + "/" + name, at, *header};
    }
  }
  FAIL("no group for " << seq);
  return {};
}

struct Log10 {
  SimulatedDisk disk{5};
  Writer w{disk, wide_options()};
  Log10() {
    REQUIRE(w.create());
    REQUIRE(w.open());
    REQUIRE(w.steps(10));
  }
  void reopen() {
    w.log.reset();
    w.expect_damage = true;
    w.expect_damage = true;
    REQUIRE(w.open());
  }
};

}  // namespace

TEST_CASE(
    "T3.4 rot in any part of an older group: its vote comes from the copy, its body is lost") {
  for (const std::uint64_t within : {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{24},
                                     std::uint64_t{40}, std::uint64_t{70}, std::uint64_t{200}}) {
    CAPTURE(within);
    Log10 log;
    const Place place = find_group(log.disk, 6);
    log.disk.rot(place.path, place.offset + within, 0x10);
    log.reopen();
    CHECK(log.w.recovered.tail == LogTail::rot);
    CHECK(log.w.recovered.bodies_lost);
    CHECK_FALSE(log.w.recovered.control_lost);
    CHECK(log.w.recovered.damage.find('\n') == std::string::npos);
    for (std::uint64_t seq = 3; seq <= 10; ++seq) CHECK(log.w.has_vote(seq));
    CHECK_FALSE(log.w.has(batch(6)));
    CHECK(log.w.has(batch(7)));
    CHECK(*log.w.log->read(kBatch, 6) == std::nullopt);
    CHECK(*log.w.log->read(kBatch, 7) == batch(7).payload);
  }
}

TEST_CASE("T3.4 rot in the padding of a group harms nothing") {
  Log10 log;
  const Place place = find_group(log.disk, 6);
  const std::uint64_t end = kGroupHeaderSize + place.header.length;
  REQUIRE(end % kLogBlock != 0);
  log.disk.rot(place.path, place.offset + end, 0xff);
  log.reopen();
  log.w.check_recovered();
}

TEST_CASE("T3.4 rot in the state group: the next group has a copy of it") {
  Log10 log;
  const Place place = find_group(log.disk, 0);
  REQUIRE(place.header.records > 0);
  log.disk.rot(place.path, place.offset + 100, 1);
  log.reopen();
  CHECK(log.w.recovered.tail == LogTail::rot);
  CHECK_FALSE(log.w.recovered.control_lost);
  for (std::uint64_t seq = 1; seq <= 10; ++seq) CHECK(log.w.has_vote(seq));
}

TEST_CASE("T3.4 rot in two neighbouring groups loses votes, which stays known for ever") {
  Log10 log;
  for (const std::uint64_t seq : {5, 6}) {
    const Place place = find_group(log.disk, seq);
    log.disk.rot(place.path, place.offset + 90, 1);
  }
  log.reopen();
  CHECK(log.w.recovered.tail == LogTail::rot);
  CHECK(log.w.recovered.control_lost);
  CHECK_FALSE(log.w.has_vote(5));
  CHECK(log.w.has_vote(6));
  // A new segment with a whole state group does not make the lost vote come back.
  REQUIRE(log.w.steps(2));
  log.reopen();
  CHECK(log.w.recovered.control_lost);
}

TEST_CASE("rot in the newest group cannot be told from a torn write") {
  Log10 log;
  const Place place = find_group(log.disk, 10);
  log.disk.rot(place.path, place.offset + 100, 1);
  log.reopen();
  CHECK(log.w.recovered.tail == LogTail::torn);
  CHECK(log.w.has_vote(9));
  CHECK_FALSE(log.w.has_vote(10));
}

TEST_CASE("an end that cannot be read is not taken for a torn one") {
  Log10 log;
  const Place newest = find_group(log.disk, 10);
  log.disk.make_unreadable(newest.path, newest.offset + 100);
  log.w.log.reset();
  const Status refused = log.w.open();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::io);

  Log10 other;
  const Place older = find_group(other.disk, 6);
  other.disk.make_unreadable(older.path, older.offset + 100);
  other.reopen();
  CHECK(other.w.recovered.bodies_lost);
  CHECK_FALSE(other.w.recovered.control_lost);
}

TEST_CASE("T3.5 a write that lands elsewhere is found") {
  SUBCASE("ahead, where the next group overwrites it: only its body is lost") {
    SimulatedDisk disk(6);
    Writer w(disk, wide_options());
    REQUIRE(w.create());
    REQUIRE(w.open());
    REQUIRE(w.steps(3));
    disk.misdirect_write(0, kLogBlock * 4);
    REQUIRE(w.steps(3));
    w.log.reset();
    w.expect_damage = true;
    REQUIRE(w.open());
    CHECK(w.recovered.tail == LogTail::rot);
    CHECK_FALSE(w.recovered.control_lost);
    for (std::uint64_t seq = 1; seq <= 6; ++seq) CHECK(w.has_vote(seq));
    CHECK_FALSE(w.has(batch(4)));
  }
  SUBCASE("behind, over the group before it: two votes are at stake, one is lost") {
    SimulatedDisk disk(6);
    Writer w(disk, wide_options());
    REQUIRE(w.create());
    REQUIRE(w.open());
    REQUIRE(w.steps(3));
    disk.misdirect_write(0, -static_cast<std::int64_t>(kLogBlock));
    REQUIRE(w.steps(3));
    w.log.reset();
    w.expect_damage = true;
    REQUIRE(w.open());
    CHECK(w.recovered.tail == LogTail::rot);
    CHECK(w.recovered.control_lost);
    CHECK(w.has_vote(4));
  }
}

TEST_CASE("T3.17 bytes of a client that imitate a group behind a torn one are not believed") {
  const Record forged{kVote, RecordClass::control, 99, std::nullopt, to_bytes("forged vote")};
  // A client may guess everything but the secret; with it the imitation would succeed, which shows
  // that nothing else protects here.
  for (const bool knows_secret : {false, true}) {
    CAPTURE(knows_secret);
    Log10 log;
    const Place newest = find_group(log.disk, 10);
    const std::uint64_t begin = newest.offset + padded_size(newest.header.length);

    GroupHeader header = newest.header;
    header.offset = begin + kLogBlock;
    header.lsn = newest.header.lsn + 5;
    LogSecret guess{};
    const Bytes imitation =
        encode_group(knows_secret ? secret() : guess, header, {}, std::vector{forged});

    // A batch whose payload has the imitation exactly on the second block of its group.
    Record evil{kBatch, RecordClass::body, 11, std::nullopt, {}};
    std::size_t ahead = kGroupHeaderSize + encoded_size(evil);
    for (const Record& repeated : {vote(10)}) ahead += encoded_size(repeated);
    evil.payload.assign(kLogBlock - ahead, 0);
    evil.payload.insert(evil.payload.end(), imitation.begin(), imitation.end());
    log.w.log->append(evil);
    REQUIRE(log.w.log->commit());
    // Torn: its first sector did not reach the disk.
    for (std::uint64_t i = 0; i < 64; ++i) log.disk.rot(newest.path, begin + i, 0xa5);

    log.reopen();
    CHECK(log.w.has(forged) == knows_secret);
    CHECK((log.w.recovered.tail == LogTail::rot) == knows_secret);
  }
}
