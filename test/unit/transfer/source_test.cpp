#include "transfer/source.hpp"

#include <doctest/doctest.h>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using messages::FetchNodes;
using transfer::Source;

namespace {

struct Served {
  World world{7};
  Source source{world.cluster().context.cluster_id};

  std::optional<transfer::Served> newest;

  void publish() { newest = transfer::Served{world.newest().state, world.newest().version}; }
  FetchNodes whole(std::uint8_t levels) const {
    return {3, levels, {{{}, 0, world.newest().state.cert.body.state_root}}};
  }
  messages::NodesData ask(const FetchNodes& q, std::uint64_t now_us, messages::ReplicaId who = 1) {
    auto answer = source.answer(who, q, newest ? &*newest : nullptr, now_us);
    REQUIRE(answer);
    CHECK(answer->id == q.id);
    return *answer;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Served, "nothing is served before there is a certified state") {
  CHECK_FALSE(ask({1, 0, {}}, 5).state);
  world.grow(10, 0);
  CHECK(ask(whole(3), 5).fragments.at(0).bytes.empty());
}

TEST_CASE_FIXTURE(Served, "a state that was named is served for its time, and no longer") {
  world.grow(200, 0);
  publish();
  const std::uint64_t start = 1'000'000;
  const FetchNodes old = whole(3);
  CHECK(ask({1, 0, {}}, start).state == world.newest().state);
  world.grow(50, 0);
  publish();
  // Who asks meanwhile is told the same one: all work on one state.
  CHECK(ask({1, 0, {}}, start + limits::kServedStateUs - 1, 2).state == world.state(0).state);
  CHECK_FALSE(ask(old, start + limits::kServedStateUs - 1).fragments.at(0).bytes.empty());
  CHECK_FALSE(ask(whole(3), start + limits::kServedStateUs - 1).fragments.at(0).bytes.empty());
  source.expire(start + limits::kServedStateUs);
  CHECK(ask(old, start + limits::kServedStateUs).fragments.at(0).bytes.empty());
  CHECK(ask({1, 0, {}}, start + limits::kServedStateUs).state == world.newest().state);
}

TEST_CASE_FIXTURE(Served, "one answer has a bound, and so has a second of them") {
  World large(8, 4, 60'000);
  large.grow(30'000, 0);
  newest = transfer::Served{large.newest().state, large.newest().version};
  const FetchNodes all{
      3, transfer::kAllLevels, {{{}, 0, large.newest().state.cert.body.state_root}}};
  constexpr std::size_t kSlack = 16 * 1024;
  std::uint64_t bytes = 0;
  for (std::uint64_t now = 1'000'000; now < 3'000'000; now += 1000) {
    const auto answer = source.answer(1, all, &*newest, now);
    if (!answer) continue;
    const std::size_t size = encoded_size(*answer);
    CHECK(size >= limits::kNodesBytes);
    CHECK(size <= limits::kNodesBytes + kSlack);
    bytes += size;
    if (now == 1'000'000)
      CHECK(source.answer(2, all, &*newest, now));  // each asker has its own share
  }
  CHECK(bytes <= 2 * limits::kNodesBytesPerSecond + 5 * (limits::kNodesBytes + kSlack));
  CHECK(bytes >= limits::kNodesBytesPerSecond);
}

TEST_CASE_FIXTURE(Served, "names that have no form, or that nobody has, are gone") {
  world.grow(200, 0);
  publish();
  FetchNodes q = whole(3);
  q.subtrees.push_back({Key(Bytes{0x10}), 9, {}});                    // one byte too few
  q.subtrees.push_back({Key(Bytes{0x10}), 3, {}});                    // not zero padded
  q.subtrees.push_back({Key(Bytes{0x10}), 8, {}});                    // another hash
  q.subtrees.push_back({{}, 0, world.newest().version.root_hash()});  // not the state root
  q.subtrees.push_back({{}, 0xffff, {}});
  const auto answer = ask(q, 5);
  REQUIRE(answer.fragments.size() == q.subtrees.size());
  CHECK_FALSE(answer.fragments[0].bytes.empty());
  for (std::size_t i = 1; i < answer.fragments.size(); ++i)
    CHECK(answer.fragments[i].bytes.empty());
}

TEST_CASE_FIXTURE(Served, "what the store cannot read is gone, and is reported") {
  world.grow(400, 0);
  const auto store = stored(world.newest().version);
  auto version = tree::Version::open(*store->snapshot(), {.pinned_nodes = 1});
  REQUIRE(version);
  for (const Key& key : store->leaf_keys()) store->tamper_leaf(key, Bytes{1});
  newest = transfer::Served{world.newest().state, *version};
  CHECK(ask(whole(transfer::kAllLevels), 5).fragments.at(0).bytes.empty());
  const auto fault = source.take_fault();
  REQUIRE(fault);
  CHECK(fault->code == Errc::corrupt);
  CHECK_FALSE(source.take_fault());
}
