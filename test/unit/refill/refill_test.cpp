// Passes under virtual time: when there is one, how it goes on, what is said of it.
#include "refill/refill.hpp"

#include <algorithm>

#include "crypto/hash.hpp"
#include "schema/keys.hpp"
#include "world.hpp"

using namespace bftmeta;
using refill::PassRecord;
using test::Files;
using test::kSecond;
using test::World;

namespace {

constexpr std::uint64_t kDay = 24 * 3600 * kSecond;

Files files_of(std::size_t count, std::size_t blocks, std::size_t bytes) {
  Files files;
  for (std::uint64_t ino = 1; ino <= count; ++ino) files.add(ino, blocks, bytes);
  return files;
}

}  // namespace

TEST_CASE("pass: a new store is filled, from several peers, and it is said and remembered") {
  World world(files_of(10, 60, 50'000));
  world.start();
  CHECK(world.refill->running());
  CHECK(world.records.back().running);
  world.run_pass();
  CHECK(world.own == world.files.contents());
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer) CHECK(world.asked[peer] > 100);
  CHECK(world.received_bytes == 600 * 50'000);
  CHECK(world.most_asked <= refill::Fetcher::kMaxOpen);
  const auto progress = world.refill->progress(world.now_us);
  CHECK(progress.checked == 600);
  CHECK(progress.fetched == 600);
  CHECK(progress.fetched_bytes == 600 * 50'000);
  CHECK(progress.missing == 0);
  CHECK(progress.permille == 1000);
  REQUIRE(world.lines.size() == 1);
  CHECK(world.warnings.empty());
  const PassRecord& last = world.records.back();
  CHECK_FALSE(last.running);
  CHECK(last.missing == 0);
  CHECK(last.finished_s == progress.finished_s);
}

TEST_CASE("pass: position, rate and estimate on the way") {
  World world(files_of(20, 60, 100'000));
  world.options.bytes_per_second = 10'000'000;
  world.start();
  const std::uint64_t began = world.now_us;
  REQUIRE(world.run([&] { return world.refill->progress(world.now_us).permille >= 500; },
                    began + 60 * kSecond));
  const auto half = world.refill->progress(world.now_us);
  const std::uint64_t so_far = world.now_us - began;
  CHECK(half.running);
  CHECK(half.fetched_bytes > 40'000'000);
  CHECK(half.fetched_bytes < 80'000'000);
  CHECK(half.bytes_per_second > 9'000'000);
  CHECK(half.bytes_per_second < 14'000'000);
  const std::uint64_t rest = world.run_pass();
  CHECK(half.left_us > rest / 2);
  CHECK(half.left_us < rest * 2);
  CHECK(so_far + rest > 11 * kSecond);  // 120 MB at 10 MB/s, but the burst
}

TEST_CASE("pass: it waits for a certified version") {
  World world(files_of(1, 5, 100));
  world.version.reset();
  world.start();
  CHECK_FALSE(world.run([&] { return !world.refill->running(); }, world.now_us + 5 * kSecond));
  CHECK(world.own.empty());
  CHECK(world.slices <= 26);  // every 200 ms, not as fast as it can
  world.version = world.files.version();
  world.run_pass();
  CHECK(world.complete());
}

TEST_CASE("pass: an unfinished one goes on behind its cursor, and then looks at what was before") {
  World world(files_of(4, 256, 100));
  const auto first = refill::named_blocks(*world.version, refill::first_cursor());
  REQUIRE(first->next);
  world.start(PassRecord{1, true, false, 0, 0, 0, *first->next});
  CHECK(world.run_pass() < kSecond);
  CHECK(world.own.size() == 3 * 256);
  REQUIRE(world.run([&] { return world.refill->running(); }, world.now_us + kSecond));
  world.run_pass();
  CHECK(world.complete());
  CHECK_FALSE(world.records.back().running);
}

TEST_CASE("pass: each start looks for names, and the thorough one keeps its day") {
  World world(files_of(1, 5, 100));
  const std::uint64_t wall = 1'700'000'000 + world.now_us / kSecond;
  world.start(PassRecord{1, false, false, 0, wall - 60, wall - 3600, {}});
  CHECK(world.refill->running());
  CHECK_FALSE(world.refill->progress(world.now_us).thorough);
  world.run_pass();
  CHECK(world.complete());
  const std::uint64_t began = world.now_us;
  REQUIRE(world.run([&] { return world.refill->running(); }, began + 2 * kDay));
  CHECK(world.now_us - began > kDay - 3602 * kSecond);
  CHECK(world.now_us - began < kDay - 3598 * kSecond);
  CHECK(world.refill->progress(world.now_us).thorough);
  world.run_pass();
  const std::uint64_t ended = world.now_us;
  REQUIRE(world.run([&] { return world.refill->running(); }, ended + 2 * kDay));
  CHECK(world.now_us - ended > kDay - 2 * kSecond);
}

TEST_CASE("followed: what certified operations name is here a little later, without a pass") {
  World world(files_of(1, 5, 100));
  world.start();
  world.run_pass();
  const std::vector<Hash> here = world.files.add(2, 300, 100);
  const std::vector<Hash> replaced = world.files.add(3, 1, 100);
  const std::vector<Hash> newest = world.files.add(3, 1, 100);
  world.version = world.files.version();
  world.own[here[0]] = world.files.contents().at(here[0]);  // the client's put has come
  std::vector<Key> extents;
  for (std::uint64_t i = 0; i < 300; ++i)
    extents.push_back(schema::keys::extent(2, i * limits::kBlockSize));
  extents.push_back(schema::keys::extent(3, 0));
  extents.push_back(schema::keys::extent(4, 0));  // there is none any more
  world.refill->changed(extents, world.now_us);
  CHECK_FALSE(world.run([&] { return world.own.size() > 6; }, world.now_us + 4 * kSecond));
  CHECK(world.run([&] { return world.own.size() == 5 + 301; }, world.now_us + 10 * kSecond));
  CHECK(world.own.contains(newest[0]));
  CHECK_FALSE(world.own.contains(replaced[0]));
  CHECK_FALSE(world.refill->running());
}

TEST_CASE("followed: what nobody has yet is looked for by a pass; so is what were too many") {
  World world(files_of(1, 5, 100));
  world.start();
  world.run_pass();
  const std::vector<Hash> late = world.files.add(2, 1, 100);
  world.version = world.files.version();
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
    world.set(peer, world.without({late[0]}));
  world.refill->changed({schema::keys::extent(2, 0)}, world.now_us);
  CHECK_FALSE(world.run([&] { return world.refill->running(); }, world.now_us + 30 * kSecond));
  world.set(3, world.honest());
  CHECK(world.run([&] { return world.complete(); }, world.now_us + 70 * kSecond));

  world.run_pass();
  world.files.add(3, 2, 100);
  world.version = world.files.version();
  world.refill->changed(
      std::vector<Key>(refill::Refill::kMaxFollowed + 1, schema::keys::extent(3, 0)), world.now_us);
  CHECK(world.run([&] { return world.complete(); }, world.now_us + 10 * kSecond));
}

TEST_CASE("pass: one that is asked for reads all at its own rate, after one that others wait for") {
  World world(files_of(1, 100, 1'000'000));
  world.own = world.files.contents();
  world.rotten.insert(world.own.begin()->first);
  world.options.bytes_per_second = 10'000'000;
  world.start();
  world.refill->check_all(20'000'000, world.now_us);
  CHECK_FALSE(world.refill->progress(world.now_us).thorough);
  world.run_pass();
  REQUIRE(world.run([&] { return world.refill->running(); }, world.now_us + kSecond));
  CHECK(world.refill->progress(world.now_us).thorough);
  const std::uint64_t asked_for = world.run_pass();  // 100 MB
  CHECK(asked_for > 4 * kSecond);
  CHECK(asked_for < 8 * kSecond);
  CHECK(world.rotten.empty());

  // One under way goes on, faster or slower, however often that is asked for; at an eighth of the
  // usual rate at least. The daily one keeps its own.
  for (int i = 0; i < 20; ++i) {
    world.refill->check_all(1, world.now_us);
    world.run([] { return false; }, world.now_us + kSecond / 10);
  }
  CHECK(world.refill->progress(world.now_us).checked < 10);
  REQUIRE(world.run([&] { return world.refill->progress(world.now_us).checked > 10; },
                    world.now_us + 30 * kSecond));
  const std::uint64_t checked = world.refill->progress(world.now_us).checked;
  world.refill->check_all(50'000'000, world.now_us);
  CHECK(world.refill->progress(world.now_us).checked == checked);
  const std::uint64_t fast = world.run_pass();
  CHECK(fast > 1 * kSecond);
  CHECK(fast < 4 * kSecond);
  REQUIRE(world.run([&] { return world.refill->running(); }, world.now_us + 2 * kDay));
  CHECK(world.run_pass() > 8 * kSecond);
}

TEST_CASE("pass: the daily one reads what is here, at its rate, and replaces what has rotted") {
  World world(files_of(1, 100, 1'000'000));
  world.own = world.files.contents();
  world.rotten.insert(world.own.begin()->first);
  world.options.bytes_per_second = 20'000'000;
  world.start();
  world.run_pass();  // of a new store: by names
  CHECK(world.rotten.size() == 1);
  REQUIRE(world.run([&] { return world.refill->running(); }, world.now_us + 2 * kDay));
  CHECK(world.run_pass() > 4 * kSecond);  // 100 MB
  CHECK(world.rotten.empty());
  CHECK(world.refill->progress(world.now_us).fetched == 1);
  world.options.interval_us = 0;  // never
  world.start();
  world.run_pass();
  CHECK_FALSE(world.run([&] { return world.refill->running(); }, world.now_us + 30 * kDay));
}

TEST_CASE("pass: what nobody has is counted, and tried again later and later") {
  World world(files_of(2, 50, 1000));
  const Hash lost = world.files.contents().begin()->first;
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
    world.set(peer, world.without({lost}));
  world.start();
  CHECK(world.run_pass() < 2 * kSecond);
  CHECK(world.own.size() == 99);
  CHECK(world.refill->progress(world.now_us).missing == 1);
  CHECK(world.warnings.size() == 1);
  std::vector<std::uint64_t> pauses;
  for (int again = 0; again < 3; ++again) {
    const std::uint64_t ended = world.now_us;
    REQUIRE(world.run([&] { return world.refill->running(); }, ended + kDay));
    pauses.push_back((world.now_us - ended) / kSecond);
    if (again == 2) world.set(2, world.honest());
    world.run_pass();
  }
  CHECK(pauses == std::vector<std::uint64_t>{60, 120, 240});
  CHECK(world.complete());
  CHECK(world.refill->progress(world.now_us).missing == 0);
}

TEST_CASE("pass: a state transfer begins a new one in place of the old, never a second") {
  World world(files_of(4, 200, 10'000));
  world.options.bytes_per_second = 2'000'000;
  world.start();
  REQUIRE(world.run([&] { return world.own.size() > 500; }, world.now_us + 60 * kSecond));
  const auto before = world.own.size();
  Files more = world.files;
  more.add(1, 200, 9000);  // other blocks at the beginning
  world.files = more;
  world.version = more.version();
  world.refill->transferred(world.now_us);
  CHECK(world.refill->progress(world.now_us).checked == 0);
  world.run_pass();
  CHECK(world.lines.size() == 1);
  CHECK(world.own.size() >= before);
  for (std::optional<Key> at = refill::first_cursor(); at;) {
    const auto slice = refill::named_blocks(*world.version, *at);
    for (const auto& block : slice->blocks) CHECK(world.own.contains(block.digest));
    at = slice->next;
  }
}

TEST_CASE("pass: on a full disk it gives up at once, and begins again later") {
  World world(files_of(4, 200, 10'000));
  world.disk_full = true;
  world.start();
  world.run_pass();
  CHECK(world.own.empty());
  CHECK(world.received_bytes <= 2 * refill::Fetcher::kMaxOpen * 10'000);
  REQUIRE(world.warnings.size() == 1);
  CHECK(world.warnings[0].find("no space") != std::string::npos);
  world.disk_full = false;
  REQUIRE(world.run([&] { return world.complete(); }, world.now_us + 120 * kSecond));
}

TEST_CASE("missed: what a client asks for comes at once, before the pass and without one") {
  World world(files_of(1, 100, 1'000'000));
  world.options.bytes_per_second = 1'000'000;
  world.start();
  REQUIRE(world.run([&] { return world.own.size() > 5; }, world.now_us + 60 * kSecond));
  const auto slice = refill::named_blocks(*world.version, refill::first_cursor());
  const Hash last = slice->blocks.back().digest;
  REQUIRE_FALSE(world.own.contains(last));
  world.refill->missed(last, world.now_us);
  CHECK(world.run([&] { return world.own.contains(last); }, world.now_us + 20 * kSecond));
  CHECK(world.own.size() < 50);
  world.run_pass();
  CHECK(world.complete());
  world.own.erase(last);
  world.refill->missed(last, world.now_us);
  CHECK(world.run([&] { return world.own.contains(last); }, world.now_us + 20 * kSecond));
  CHECK_FALSE(world.refill->running());
}

TEST_CASE("missed: inventions are bounded, in number and in rate") {
  World world(files_of(1, 1, 1000));
  world.own = world.files.contents();
  world.start();
  world.run_pass();
  std::uint64_t name = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    Bytes invented(8);
    store_be64(invented.data(), ++name);
    world.refill->missed(crypto::sha256(invented), world.now_us);
    const std::uint64_t until = world.now_us + 1000;
    while (world.now_us < until)
      world.run([&] { return world.now_us >= until; }, until), world.now_us = until;
  }
  // 64 at once and 50 per second of 10 seconds, from three peers.
  CHECK(world.asked[1] + world.asked[2] + world.asked[3] <= 3 * (64 + 50 * 10 + 1));
  CHECK(world.asked[1] > 100);
}

TEST_CASE("record: what is written is read, what has rotted is none") {
  const PassRecord record{1, true, true, 5, 6, 7, refill::first_cursor()};
  Bytes file = refill::encode_record(record);
  const auto read = refill::decode_record(file);
  REQUIRE(read);
  CHECK(*read == record);
  for (std::size_t i = 0; i < file.size(); ++i) {
    file[i] ^= 1;
    CHECK_FALSE(refill::decode_record(file));
    file[i] ^= 1;
    CHECK_FALSE(refill::decode_record(ByteView(file).first(i)));
  }
  PassRecord other = record;
  other.format = 2;
  CHECK_FALSE(refill::decode_record(refill::encode_record(other)));
}

TEST_CASE("rest: the next epoch goes on without a pass, and forgets nothing") {
  World world(files_of(2, 50, 1000));
  world.start();
  CHECK_FALSE(world.refill->rest());  // a pass is under way
  world.run_pass();
  const Hash lost = world.files.add(3, 1, 100)[0];
  const Hash put = world.files.add(4, 1, 100)[0];
  world.version = world.files.version();
  const std::vector<Key> named = {schema::keys::extent(3, 0), schema::keys::extent(4, 0)};
  world.refill->changed(named, world.now_us);
  const Hash rotten = world.own.begin()->first;
  world.own.erase(rotten);
  world.refill->missed(rotten, world.now_us);
  const auto rest = world.refill->rest();
  REQUIRE(rest);
  CHECK(rest->followed == named);
  CHECK(rest->asked == std::vector{rotten});
  CHECK(rest->checked == 100);

  world.start(world.records.back(), rest);
  CHECK(world.refill->complete());
  CHECK_FALSE(world.refill->running());
  CHECK(world.refill->progress(world.now_us).checked == 100);
  CHECK(world.refill->progress(world.now_us).finished_s != 0);
  const std::size_t slices = world.slices;
  // Its first version comes late.
  const auto version = std::exchange(world.version, std::nullopt);
  CHECK(world.run([&] { return world.own.contains(rotten); }, world.now_us + 2 * kSecond));
  CHECK_FALSE(world.run([&] { return world.complete(); }, world.now_us + 10 * kSecond));
  world.version = version;
  REQUIRE(world.run([&] { return world.complete(); }, world.now_us + kSecond));
  CHECK(world.own.contains(lost));
  CHECK(world.own.contains(put));
  CHECK(world.slices == slices);
  // The daily pass comes when it would have.
  REQUIRE(world.run([&] { return world.refill->running(); }, test::kStart + 2 * kDay));
  CHECK(world.refill->progress(world.now_us).thorough);
  CHECK(world.now_us > test::kStart + kDay - 10 * kSecond);
}

TEST_CASE("rest: none while a followed block is fetched, or it is not known to be complete") {
  World world(files_of(2, 50, 1000));
  world.start();
  world.run_pass();
  const Hash late = world.files.add(3, 1, 100)[0];
  world.version = world.files.version();
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
    world.set(peer, [](const Hash&) { return std::nullopt; });
  world.refill->changed({schema::keys::extent(3, 0)}, world.now_us);
  CHECK_FALSE(world.run([&] { return world.own.contains(late); }, world.now_us + 6 * kSecond));
  CHECK(world.refill->complete());
  CHECK_FALSE(world.refill->rest());
  world.refill->transferred(world.now_us);
  CHECK_FALSE(world.refill->rest());
}

TEST_CASE("rest: none when a changed file was not looked at, or its block not to be had") {
  World world(files_of(2, 50, 1000));
  world.start();
  world.run_pass();
  REQUIRE(world.refill->rest());
  const Hash late = world.files.add(3, 1, 100)[0];
  world.version = world.files.version();
  const std::vector<Key> named = {schema::keys::extent(3, 0)};
  const auto follow = [&] {
    world.refill->changed(named, world.now_us);
    world.run([] { return false; }, world.now_us + 10 * kSecond);
    CHECK_FALSE(world.refill->rest());
  };
  const auto found_by_a_pass = [&] {
    REQUIRE(world.run([&] { return world.refill->running(); }, world.now_us + 61 * kSecond));
    world.run_pass();
    CHECK(world.complete());
    CHECK(world.refill->complete());
    CHECK(world.refill->progress(world.now_us).missing == 0);
    CHECK(world.refill->rest());
  };
  SUBCASE("a quorum denies it: this replica lacks nothing that others have") {
    for (const std::uint32_t peer : {1U, 2U, 3U}) world.set(peer, world.without({late}));
    follow();
    CHECK(world.refill->complete());
    CHECK(world.refill->progress(world.now_us).missing == 1);
    for (const std::uint32_t peer : {1U, 2U, 3U}) world.set(peer, world.honest());
    found_by_a_pass();
  }
  SUBCASE("one denies it: another may have it") {
    world.set(1, world.without({late}));
    for (const std::uint32_t peer : {2U, 3U})
      world.set(peer, [](const Hash&) { return std::nullopt; });
    follow();
    REQUIRE(world.run([&] { return !world.refill->complete(); }, world.now_us + 600 * kSecond));
    CHECK(world.refill->progress(world.now_us).missing == 1);
    for (const std::uint32_t peer : {1U, 2U, 3U}) world.set(peer, world.honest());
    found_by_a_pass();
  }
  SUBCASE("the own disk is full") {
    world.disk_full = true;
    follow();
    CHECK_FALSE(world.refill->complete());
    CHECK(world.refill->progress(world.now_us).missing == 1);
    world.disk_full = false;
    found_by_a_pass();
  }
  SUBCASE("more has changed than is kept: a pass finds it") {
    const std::vector<Key> many(refill::Refill::kMaxFollowed, named[0]);
    world.refill->changed(many, world.now_us);
    CHECK(world.refill->rest());
    world.refill->changed(named, world.now_us);
    CHECK_FALSE(world.refill->rest());
    CHECK(world.refill->complete());
    found_by_a_pass();
  }
}

TEST_CASE("rest: a thorough pass goes on where it is, at its rate") {
  Files files = files_of(1, 50, 100'000);
  const Hash last = files.add(2, 50, 100'000).back();
  World world(std::move(files));
  world.options.bytes_per_second = 4'000'000;
  world.start();
  world.run_pass();
  world.refill->check_all(1'000'000, world.now_us);
  REQUIRE(world.run([&] { return world.refill->progress(world.now_us).permille >= 500; },
                    world.now_us + 20 * kSecond));
  const auto rest = world.refill->rest();
  REQUIRE(rest);
  REQUIRE(rest->going);
  CHECK(rest->going->rate == 1'000'000);
  const std::uint64_t began = world.now_us;
  world.start(world.records.back(), rest);
  CHECK(world.refill->complete());
  CHECK(world.refill->progress(world.now_us).thorough);
  CHECK(world.refill->rest());
  SUBCASE("nothing is missing") {
    world.run_pass();
    CHECK(world.refill->complete());
    CHECK(world.records.back().thorough_s != 0);
    // What it has read before it does not read again, but for a slice.
    CHECK(world.now_us - began < 7 * kSecond);
    CHECK(world.now_us - began > 3 * kSecond / 2);
  }
  SUBCASE("it finds what has rotted and nobody has: as if nothing had ended between") {
    world.rotten.insert(last);
    for (const std::uint32_t peer : {1U, 2U, 3U}) world.set(peer, world.without({last}));
    world.run_pass();
    CHECK_FALSE(world.refill->complete());
    CHECK(world.refill->progress(world.now_us).missing == 1);
    CHECK_FALSE(world.refill->rest());
  }
  SUBCASE("none once it has found something") {
    world.rotten.insert(last);
    for (const std::uint32_t peer : {1U, 2U, 3U})
      world.set(peer, [](const Hash&) { return std::nullopt; });
    CHECK(world.run([&] { return !world.refill->rest(); }, world.now_us + 60 * kSecond));
  }
}

TEST_CASE(
    "rest: what a quorum denied is looked for when it would have been, and waited for no more") {
  World world(files_of(2, 50, 1000));
  const Hash lost = world.files.contents().begin()->first;
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
    world.set(peer, world.without({lost}));
  world.start();
  REQUIRE(world.run([&] { return world.refill->complete() && !world.refill->running(); },
                    world.now_us + 200 * kSecond));
  const auto rest = world.refill->rest();
  REQUIRE(rest);
  CHECK(rest->missing == 1);
  const std::uint64_t began = world.now_us;
  world.start(world.records.back(), rest);
  CHECK(world.refill->progress(world.now_us).missing == 1);
  REQUIRE(world.run([&] { return world.refill->running(); }, began + 1000 * kSecond));
  CHECK(world.now_us - began > 100 * kSecond);
  world.run_pass();
  CHECK(world.refill->complete());  // denied before, and again
}

TEST_CASE("complete: all blocks are here, or a quorum said twice that they have none") {
  World world(files_of(2, 50, 1000));
  const Hash lost = world.files.contents().begin()->first;
  SUBCASE("all are here; a transfer makes it unknown") {
    world.start();
    CHECK_FALSE(world.refill->complete());
    world.run_pass();
    CHECK(world.refill->complete());
    world.refill->transferred(world.now_us);
    CHECK_FALSE(world.refill->complete());
    world.run_pass();
    CHECK(world.refill->complete());
  }
  SUBCASE("a pass that did not begin at the beginning says nothing") {
    const auto first = refill::named_blocks(*world.version, refill::first_cursor());
    Key behind = first->next.value_or(schema::keys::extent(2, 0));
    world.start(PassRecord{1, true, false, 0, 0, 0, behind});
    world.run_pass();
    CHECK_FALSE(world.refill->complete());
    REQUIRE(world.run([&] { return world.refill->complete(); }, world.now_us + kSecond));
    CHECK(world.complete());
  }
  SUBCASE("one is nowhere: two passes") {
    for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
      world.set(peer, world.without({lost}));
    world.start();
    world.run_pass();
    CHECK_FALSE(world.refill->complete());
    REQUIRE(world.run([&] { return world.refill->complete(); }, world.now_us + 70 * kSecond));
    CHECK_FALSE(world.complete());
  }
  SUBCASE("one peer is silent: the others and this replica are a quorum") {
    world.set(1, [](const Hash&) { return std::nullopt; });
    for (const std::uint32_t peer : {2U, 3U}) world.set(peer, world.without({lost}));
    SUBCASE("of a member") {
      world.start();
      CHECK(world.run([&] { return world.refill->complete(); }, world.now_us + 200 * kSecond));
    }
    SUBCASE("of a learner they are none, and it waits for the third") {
      world.options.self = limits::kMaxReplicas;
      world.options.n = 1 + World::kPeers;
      world.set(0, [](const Hash&) { return std::nullopt; });
      world.start();
      CHECK_FALSE(
          world.run([&] { return world.refill->complete(); }, world.now_us + 1000 * kSecond));
      world.set(1, world.honest());
      CHECK(world.run([&] { return world.refill->complete(); }, world.now_us + 1000 * kSecond));
      CHECK(world.complete());
    }
  }
  SUBCASE("a full disk") {
    world.disk_full = true;
    world.start();
    world.run_pass();
    CHECK_FALSE(world.refill->complete());
    world.disk_full = false;
    CHECK(world.run([&] { return world.refill->complete(); }, world.now_us + 70 * kSecond));
  }
}
