// What peers may do wrong. The measure: at most twice the time that it takes without the liar, and
// never a wrong byte (World::keep checks every one).
#include "refill/fetcher.hpp"

#include "world.hpp"

using namespace bftmeta;
using test::Answer;
using test::Behaviour;
using test::Files;
using test::kSecond;
using test::World;

namespace {

// The liar's number is the first that an undecided replica would ask.
constexpr messages::ReplicaId kLiar = 1;

Files some_files(std::size_t blocks = 400) {
  Files files;
  files.add(1, blocks, 250'000);
  return files;
}

// What it takes without any liar, with the two honest peers only: then nothing is gained by a
// third.
std::uint64_t honest_time() {
  World world(some_files());
  world.start();
  world.refill->connected(kLiar, false, world.now_us);
  const std::uint64_t took = world.run_pass();
  REQUIRE(world.complete());
  return took;
}

std::uint64_t time_with(World& world, const Behaviour& liar) {
  world.set(kLiar, liar);
  world.start();
  const std::uint64_t took = world.run_pass();
  CHECK(world.complete());
  return took;
}

Bytes wrong_bytes() { return Bytes(limits::kBlockSize, 0x66); }

}  // namespace

TEST_CASE("liar: wrong bytes cost one answer, it is banned for the pass, and said once") {
  World world(some_files());
  const std::uint64_t took = time_with(world, [](const Hash& digest) {
    return std::optional(Answer{messages::BlockContent{digest, wrong_bytes()}});
  });
  CHECK(took <= 2 * honest_time());
  CHECK(world.asked[kLiar] <= refill::Fetcher::kPerPeer);
  CHECK(world.warnings.size() == 1);
  // In the next pass it gets another chance.
  world.own.clear();
  world.set(kLiar, world.honest());
  const auto before = world.asked[kLiar];
  world.refill->transferred(world.now_us);
  world.run_pass();
  CHECK(world.complete());
  CHECK(world.asked[kLiar] > before + 10);
}

TEST_CASE("liar: wrong bytes only now and then, or under another name") {
  int count = 0;
  World world(some_files());
  const Behaviour honest = world.honest();
  CHECK(time_with(world, [&](const Hash& digest) -> std::optional<Answer> {
          if (++count % 10 != 0) return honest(digest);
          return Answer{messages::BlockContent{digest, wrong_bytes()}};
        }) <= 2 * honest_time());
  World other(some_files());
  const Behaviour true_answer = other.honest();
  CHECK(time_with(other, [&](const Hash& digest) -> std::optional<Answer> {
          auto answer = true_answer(digest);
          std::get<messages::BlockContent>(answer->reply).digest[0] ^= 1;
          return answer;
        }) <= 2 * honest_time());
}

TEST_CASE("liar: not there, to everything") {
  World world(some_files());
  CHECK(time_with(world, [](const Hash& digest) {
          return std::optional(Answer{messages::BlockMissing{digest}});
        }) <= 2 * honest_time());
  CHECK(world.asked[kLiar] < 100);  // others are rather asked
}

TEST_CASE("liar: silence, also for a few blocks only") {
  for (const std::size_t blocks : {std::size_t{400}, std::size_t{30}}) {
    World world(some_files(blocks));
    const std::uint64_t took =
        time_with(world, [](const Hash&) { return std::optional<Answer>(); });
    CAPTURE(blocks);
    CHECK(took <= (blocks == 400 ? 2 * honest_time() : kSecond));
  }
}

TEST_CASE("liar: an endless trickle, each answer just in time") {
  World world(some_files());
  const Behaviour honest = world.honest();
  CHECK(time_with(world, [&](const Hash& digest) {
          auto answer = honest(digest);
          answer->delay_us = 3'900'000;
          return answer;
        }) <= 2 * honest_time());
}

TEST_CASE("liar: always busy, or always failing") {
  for (const auto reason : {messages::BlockRefusal::busy, messages::BlockRefusal::io_error}) {
    World world(some_files());
    CHECK(time_with(world, [&](const Hash& digest) {
            return std::optional(Answer{messages::BlockRefused{digest, reason}});
          }) <= 2 * honest_time());
  }
  // Also when nobody else has the block: the pass ends.
  World world(some_files(3));
  const Hash lost = world.files.contents().begin()->first;
  for (const messages::ReplicaId peer : {2, 3}) world.set(peer, world.without({lost}));
  world.set(kLiar, [&](const Hash& digest) {
    return std::optional(Answer{messages::BlockRefused{digest, messages::BlockRefusal::busy}});
  });
  world.start();
  CHECK(world.run_pass() < 30 * kSecond);
  CHECK(world.own.size() == 2);
}

TEST_CASE("peers: one honest holder is enough, and who is away is not waited for") {
  World world(some_files(100));
  std::set<Hash> all;
  for (const auto& [digest, content] : world.files.contents()) all.insert(digest);
  world.set(1, world.without(all));
  world.set(2, world.without(all));
  world.start();
  world.run_pass();
  CHECK(world.complete());

  World away(some_files(100));
  away.set(3, away.without(all));
  away.start();
  away.refill->connected(1, false, away.now_us);
  away.refill->connected(2, false, away.now_us);
  CHECK(away.run_pass() < 30 * kSecond);
  CHECK(away.own.empty());
  CHECK(away.refill->progress(away.now_us).missing == 100);
  away.refill->connected(2, true, away.now_us);
  CHECK(away.run([&] { return away.complete(); }, away.now_us + 120 * kSecond));
}

TEST_CASE("peers: a slow network takes as long as it takes, and no more bytes") {
  World world(some_files(20));
  const Behaviour honest = world.honest();
  for (std::uint32_t peer = 1; peer <= World::kPeers; ++peer)
    world.set(peer, [&](const Hash& digest) {
      auto answer = honest(digest);
      answer->delay_us = 1'500'000;
      return answer;
    });
  world.start();
  world.run_pass();
  CHECK(world.complete());
  CHECK(world.received_bytes <= 2 * 20 * 250'000);
}
