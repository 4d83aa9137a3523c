#include "storage/log.hpp"

#include "log_fixture.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using namespace bftmeta::storage::test;
using sim::SimulatedDisk;

TEST_CASE("the bytes of a group are frozen") {
  GroupHeader header;
  header.segment = 0x0102;
  header.offset = 8192;
  header.lsn = 77;
  const Bytes bytes =
      encode_group(secret(), header, std::vector{vote(1)}, std::vector{vote(2), batch(3)});
  CHECK(bytes.size() == padded_size(header.length));
  CHECK(to_hex(ByteView(bytes).first(64)) ==
        "6266746d6c6f673102010000000000000020000000000000"
        "4d00000000000000" +
            to_hex(ByteView(bytes).subspan(32, 4)) + "010000000200000000000000" +
            "00000000000000000000000000000000");
  const auto parsed = parse_group_header(bytes, 0x0102, 8192, 1 << 20);
  REQUIRE(parsed);
  const auto group = decode_group(secret(), *parsed, bytes);
  REQUIRE(group);
  CHECK(group->repeated == std::vector{vote(1)});
  CHECK(group->records == std::vector{vote(2), batch(3)});

  CHECK_FALSE(parse_group_header(bytes, 0x0103, 8192, 1 << 20));
  CHECK_FALSE(parse_group_header(bytes, 0x0102, 4096, 1 << 20));
  CHECK_FALSE(parse_group_header(bytes, 0x0102, 8192, 8192 + 4096));
  CHECK_FALSE(decode_group(LogSecret{}, *parsed, bytes));
  for (std::size_t i = 0; i < kGroupHeaderSize + parsed->length; ++i) {
    Bytes flipped = bytes;
    flipped[i] ^= 1;
    const auto h = parse_group_header(flipped, 0x0102, 8192, 1 << 20);
    CHECK_FALSE((h && decode_group(secret(), *h, flipped)));
  }
}

TEST_CASE("on a real directory: written, closed, read back") {
  const bftmeta::test::TempDir temp;
  const std::string directory = temp / "log";
  FileSystem& fs = posix_file_system();
  REQUIRE(Log::create(fs, directory, secret()));
  CHECK(Log::create(fs, directory, secret()).error().code == Errc::already_exists);
  const LogOptions options{.segment_bytes = 1 << 20, .retain_bytes = 4 << 20};
  {
    auto opened = Log::open(fs, directory, options, secret(), 0);
    REQUIRE(opened);
    CHECK(opened->recovered.records.empty());
    Log& log = *opened->log;
    log.set_state_provider([] { return std::vector<Record>{}; });
    CHECK(*log.commit() == 0);
    CHECK(log.append(vote(1)) == 1);
    CHECK(log.append(batch(1)) == 2);
    CHECK(log.durable() == 0);
    CHECK(*log.commit() == 2);
    CHECK(*log.read(kBatch, 1) == batch(1).payload);
  }
  auto opened = Log::open(fs, directory, options, secret(), 0);
  REQUIRE(opened);
  CHECK(opened->recovered.tail == LogTail::clean);
  CHECK(opened->recovered.records == std::vector{vote(1), batch(1)});
  CHECK(*opened->log->read(kBatch, 1, digest_of(1)) == batch(1).payload);
  CHECK(*opened->log->read(kBatch, 1, digest_of(2)) == std::nullopt);
}

TEST_CASE("several bodies of one seq: by digest, or the newest") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  for (const std::uint64_t d : {1, 2}) {
    w.log->append(
        {kBatch, RecordClass::body, 5, digest_of(d), to_bytes("body " + std::to_string(d))});
    REQUIRE(w.log->commit());
  }
  for (int life = 0; life < 2; ++life) {
    CHECK(*w.log->read(kBatch, 5) == to_bytes("body 2"));
    CHECK(*w.log->read(kBatch, 5, digest_of(1)) == to_bytes("body 1"));
    CHECK(*w.log->read(kBatch, 6) == std::nullopt);
    CHECK(w.log->oldest_body(kBatch) == 5);
    CHECK(w.log->oldest_body(kVote) == std::nullopt);
    REQUIRE(w.open());
  }
}

TEST_CASE("bodies above the flush pin the log, flushed ones go down to what is retained") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    w.log->append(batch(seq));
    REQUIRE(w.log->commit());
  }
  const std::uint64_t pinned = w.log->bytes_on_disk();
  CHECK(pinned > small_options().retain_bytes * 3);
  for (std::uint64_t seq = 1; seq <= 100; ++seq)
    CHECK(*w.log->read(kBatch, seq) == batch(seq).payload);
  CHECK(w.log->oldest_body(kBatch) == 1);

  w.log->set_flushed(100);
  for (std::uint64_t seq = 101; seq <= 120; ++seq) {
    w.log->append(batch(seq));
    REQUIRE(w.log->commit());
    w.log->set_flushed(seq);
  }
  // Up to a quarter of a segment stays unused behind its last group.
  CHECK(w.log->bytes_on_disk() <= small_options().retain_bytes + 3 * small_options().segment_bytes);
  CHECK(w.log->bytes_on_disk() >= small_options().retain_bytes);
  CHECK(w.log->oldest_body(kBatch) > 80);
  CHECK(*w.log->read(kBatch, 1) == std::nullopt);
  CHECK(*w.log->read(kBatch, 120) == batch(120).payload);
}

TEST_CASE("starts that write little push nothing out that is retained; the disk stays bounded") {
  SimulatedDisk disk(1);
  LogOptions options = small_options();
  options.retain_bytes = 8 * options.segment_bytes;
  Writer w(disk, options);
  REQUIRE(w.create());
  REQUIRE(w.open());
  std::uint64_t seq = 0;
  const auto write = [&] {  // flushed at once: only retention keeps it
    w.log->append(batch(++seq));
    REQUIRE(w.log->commit());
    w.log->set_flushed(seq);
    w.flushed = seq;
  };
  for (int i = 0; i < 10; ++i) write();
  const std::uint64_t most = kMaxRetainFactor * options.retain_bytes;
  int starts = 0;
  for (; starts < 20; ++starts) {  // of 8 segments a segment each, counted by their size
    REQUIRE(w.open());
    write();
  }
  for (std::uint64_t s = 1; s <= seq; ++s) CHECK(*w.log->read(kBatch, s) == batch(s).payload);
  for (; starts < 100; ++starts) {
    REQUIRE(w.open());
    write();
    CHECK(w.log->bytes_on_disk() <= most + 2 * options.segment_bytes);
  }
  CHECK(*w.log->read(kBatch, 1) == std::nullopt);
  CHECK(w.log->bytes_on_disk() >= most);
  // A start knows how much the lives before it wrote.
  for (std::uint64_t s = seq - 20; s <= seq; ++s) CHECK(*w.log->read(kBatch, s));
  for (int i = 0; i < 200; ++i) write();
  CHECK(w.log->bytes_on_disk() <= options.retain_bytes + options.retain_bytes / 2);
}

TEST_CASE("starting again and again without writing takes no space") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  REQUIRE(w.steps(3));
  REQUIRE(w.open());
  const auto names = *disk.list(kDirectory);
  for (int i = 0; i < 5; ++i) REQUIRE(w.open());
  CHECK(*disk.list(kDirectory) == names);
  w.check_recovered();
}

TEST_CASE("a full disk: the log waits before its reserve is touched; with space it goes on") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  disk.set_capacity(8 * small_options().segment_bytes);
  Status status;
  std::uint64_t seq = 0;
  while (status) {
    REQUIRE(seq < 1000);
    w.log->append(batch(++seq));
    if (const auto done = w.log->commit(); !done) status = tl::make_unexpected(done.error());
  }
  CHECK(status.error().code == Errc::disk_full);
  CHECK(status.error().message.find('\n') == std::string::npos);
  const auto reserve = [&] { return disk.contents(kDirectory + "/reserve").size(); };
  CHECK(reserve() == SegmentPool::kReserve * small_options().segment_bytes);
  CHECK_FALSE(w.log->stopped());
  CHECK(w.log->durable() == seq - 1);
  w.log->append(batch(seq + 1));
  CHECK(w.log->commit().error().code == Errc::disk_full);
  CHECK(w.log->durable() == seq - 1);
  // Looking for space again and again takes none.
  const auto names = *disk.list(kDirectory);
  CHECK_FALSE(w.log->prepare_space());
  CHECK(*disk.list(kDirectory) == names);

  SUBCASE("the same process goes on, with what it had appended meanwhile") {
    disk.set_capacity(100 * small_options().segment_bytes);
    CHECK(*w.log->commit() == seq + 1);
    for (std::uint64_t s = 1; s <= seq + 1; ++s) CHECK(*w.log->read(kBatch, s) == batch(s).payload);
  }
  SUBCASE("it goes on in its own old segments once a flush lets them go") {
    w.log->set_flushed(seq - 1);
    CHECK(*w.log->commit() == seq + 1);
    CHECK(reserve() == SegmentPool::kReserve * small_options().segment_bytes);
  }
  SUBCASE("a start on the full disk reads the log; what was not acknowledged is gone") {
    REQUIRE(w.open());
    CHECK(w.has(batch(seq - 1)));
    CHECK_FALSE(w.has(batch(seq)));
    w.log->append(batch(seq));
    CHECK(w.log->commit().error().code == Errc::disk_full);
    disk.set_capacity(100 * small_options().segment_bytes);
    CHECK(w.log->commit());
  }
}

TEST_CASE("a full disk takes what was kept for lagging peers only") {
  SimulatedDisk disk(1);
  LogOptions generous = small_options();
  generous.retain_bytes = 1ULL << 40;
  Writer w(disk, generous);
  REQUIRE(w.create());
  REQUIRE(w.open());
  disk.set_capacity(10 * small_options().segment_bytes);
  CHECK(w.steps(200));
}

TEST_CASE("not this store's log, or none") {
  SimulatedDisk disk(1);
  Writer w(disk);
  CHECK(w.open().error().code == Errc::not_found);
  REQUIRE(w.create());
  LogSecret other{};
  const auto opened = Log::open(disk, kDirectory, small_options(), other, 0);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::corrupt);
}

TEST_CASE("limits: an oversized record, an oversized state, a bad segment size") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  Record big = batch(1);
  big.payload.resize(small_options().segment_bytes / 4);
  w.log->append(big);
  CHECK(w.log->commit().error().code == Errc::limit);

  REQUIRE(w.open());
  big.record_class = RecordClass::control;
  w.log->set_state_provider([&] { return std::vector{big}; });
  w.log->append(vote(1));
  CHECK(w.log->commit().error().code == Errc::limit);

  CHECK(Log::open(disk, kDirectory, {.segment_bytes = 5000}, secret(), 0).error().code ==
        Errc::config);
}

TEST_CASE("a long queue becomes several groups, in order") {
  SimulatedDisk disk(1);
  Writer w(disk);
  REQUIRE(w.create());
  REQUIRE(w.open());
  for (std::uint64_t seq = 1; seq <= 60; ++seq) w.log->append(batch(seq));
  CHECK(*w.log->commit() == 60);
  REQUIRE(w.open());
  REQUIRE(w.recovered.records.size() == 60);
  for (std::uint64_t seq = 1; seq <= 60; ++seq) CHECK(w.recovered.records[seq - 1] == batch(seq));
}
