// Fragments and comparisons, without a network: what a fragment leaves open is cut out by hand.
#include "tree/fragment.hpp"

#include <doctest/doctest.h>

#include "model.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"

namespace bftmeta::tree::test {
namespace {

struct Walk {
  Version own;
  std::size_t fragments = 0;
  std::size_t bytes = 0;
};

std::optional<Bytes> cut(const Version& version, const Subtree& subtree, std::size_t levels,
                         std::size_t max_bytes = 4096) {
  NodeCache cache;
  auto bytes = fragment(version, subtree, {levels, max_bytes}, cache);
  REQUIRE(bytes);
  return *bytes;
}

Difference difference(const Version& own, const Bytes& bytes, const Region& region) {
  const auto parsed = PartialTree::parse(bytes);
  REQUIRE(parsed);
  NodeCache cache;
  auto out = compare(own, *parsed, region, cache);
  REQUIRE(out);
  return *out;
}

// From `own` to the same content as `theirs`.
Walk walk(Version own, const Version& theirs, std::size_t levels, std::size_t max_bytes) {
  Walk w{std::move(own)};
  std::vector<Subtree> open{{{}, theirs.root_hash()}};
  while (!open.empty()) {
    const Subtree next = open.back();
    open.pop_back();
    const auto bytes = cut(theirs, next, levels, max_bytes);
    REQUIRE(bytes);
    ++w.fragments;
    w.bytes += bytes->size();
    const auto parsed = PartialTree::parse(*bytes);
    REQUIRE(parsed);
    REQUIRE(parsed->root_hash() == next.hash);
    const Difference d = difference(w.own, *bytes, next.region);
    w.own = applied(w.own, d.missing);
    for (const KeyRange& range : d.surplus) {
      std::vector<Update> gone;
      REQUIRE(w.own.read_range(range.from, range.to, [&](const Key& key, ByteView) {
        gone.push_back({key, std::nullopt});
        return true;
      }));
      w.own = applied(w.own, gone);
    }
    for (const auto& [subtree, leaves] : d.not_shown) {
      CHECK(subtree.region.bits > next.region.bits);
      CHECK(PartialTree::parse(*cut(theirs, subtree, kMaxBits, 1 << 20))->leaf_count() <= leaves);
      open.push_back(subtree);
    }
  }
  return w;
}

TEST_CASE("walking the difference ends at the other map, whatever the two are") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(1 + rng() % 300);
    Model model;
    Version own = Version::empty();
    if (rng() % 4 != 0) own = applied(own, random_batch(rng, model, keys, rng() % 300, 0));
    Version theirs = Version::empty();
    if (rng() % 3 == 0) model.clear();
    if (rng() % 8 != 0) {
      theirs = applied(theirs, updates_of(model));
      theirs = applied(
          theirs, random_batch(rng, model, keys, rng() % 200, static_cast<unsigned>(rng() % 100)));
    }
    const Walk w = walk(own, theirs, rng() % 8, rng() % 3 == 0 ? 1 : 2000);
    CHECK(w.own.root_hash() == theirs.root_hash());
    CHECK(w.own.leaf_count() == theirs.leaf_count());
  }
}

TEST_CASE("the same over a store of which almost nothing is in memory") {
  Rng rng(5);
  const KeySource keys(2000);
  Model model;
  MemoryPageStore store;
  Version own =
      applied(Version::empty({.pinned_nodes = 4}), random_batch(rng, model, keys, 1500, 0));
  WriteSet set = begin_flush(own);
  auto writer = store.begin();
  REQUIRE(writer);
  while (!*set.write_some(**writer, 100)) {
  }
  auto snapshot = (*writer)->commit(set.root_record(), {});
  REQUIRE(snapshot);
  own = rebase(own, set, *snapshot);
  const Version theirs = applied(own, random_batch(rng, model, keys, 60, 50));
  const Walk w = walk(own, theirs, 4, 3000);
  CHECK(w.own.root_hash() == theirs.root_hash());
  CHECK(same_content(w.own, model));
}

TEST_CASE("a small difference in a large map takes few bytes") {
  Rng rng(9);
  const KeySource keys(50'000);
  Model model;
  const Version own = applied(Version::empty(), random_batch(rng, model, keys, 40'000, 0));
  const Version theirs = applied(own, random_batch(rng, model, keys, 3, 0));
  const std::size_t whole = walk(Version::empty(), theirs, kMaxBits, 1 << 18).bytes;
  const Walk w = walk(own, theirs, 5, 1 << 18);
  CHECK(w.own.root_hash() == theirs.root_hash());
  CHECK(w.bytes * 50 < whole);
}

TEST_CASE("a fragment keeps to its limits and always shows something") {
  Rng rng(3);
  const KeySource keys(5000);
  Model model;
  const Version version = applied(Version::empty(), random_batch(rng, model, keys, 4000, 0));
  const Subtree all{{}, version.root_hash()};
  constexpr std::size_t kStub = 1 + 2 + Key::kMaxSize + 8 + 2 * 32;
  CHECK(cut(version, all, 0)->size() <= 1 + kStub);
  CHECK(cut(version, all, 3, 1 << 20)->size() <= 1 + 7 * 11 + 8 * kStub);
  for (const std::size_t room : {1U, 100U, 1000U, 10'000U}) {
    const std::size_t size = cut(version, all, kMaxBits, room)->size();
    CHECK(size >= room);
    CHECK(size <= room + kStub + 33 * 64 + 100);  // depth here is below 64, leaves below 100
  }
  CHECK(PartialTree::parse(*cut(version, all, kMaxBits, 1 << 20))->leaf_count() == model.size());
}

TEST_CASE("another subtree, another place, or an empty map where there is something: not there") {
  Rng rng(4);
  const KeySource keys(100);
  Model model;
  const Version version = applied(Version::empty(), random_batch(rng, model, keys, 100, 0));
  Subtree wanted{{}, version.root_hash()};
  wanted.hash[0] ^= 1;
  CHECK_FALSE(cut(version, wanted, 3));
  CHECK_FALSE(cut(version, {{}, empty_hash()}, 3));
  CHECK(cut(Version::empty(), {{}, empty_hash()}, 3) == Bytes{kPartialTreeVersion, 0});
  CHECK_FALSE(cut(Version::empty(), {{Key(Bytes{0}), 8}, empty_hash()}, 3));
  const Key first = model.begin()->first;
  const Subtree leaf{{first, 8 * first.size()},
                     leaf_hash(first, value_hash(model.begin()->second))};
  CHECK(cut(version, leaf, 0));
  const Key last = model.rbegin()->first;
  CHECK_FALSE(cut(version, {{last, 8 * last.size()}, leaf.hash}, 0));
}

TEST_CASE("a redacted leaf, or a path outside the region, is refused") {
  Rng rng(6);
  const KeySource keys(100);
  Model model;
  const Version version = applied(Version::empty(), random_batch(rng, model, keys, 50, 0));
  const Recorder recorder(version);
  recorder.count(model.begin()->first);
  const auto proof = prove(recorder);
  REQUIRE(proof);
  const auto parsed = PartialTree::parse(*proof);
  REQUIRE(parsed);
  NodeCache cache;
  const auto redacted = compare(Version::empty(), *parsed, {}, cache);
  REQUIRE_FALSE(redacted);
  CHECK(redacted.error().code == Errc::unverified);
  const auto whole = PartialTree::parse(*cut(version, {{}, version.root_hash()}, 0));
  REQUIRE(whole);
  const auto outside = compare(Version::empty(), *whole, {Key(Bytes{0xff}), 8}, cache);
  REQUIRE_FALSE(outside);
  CHECK(outside.error().code == Errc::unverified);
}

}  // namespace
}  // namespace bftmeta::tree::test
