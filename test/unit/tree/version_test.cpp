#include <doctest/doctest.h>

#include <algorithm>

#include "model.hpp"
#include "tree/hashing.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree::test {
namespace {

TEST_CASE("the empty tree, one leaf and two leaves hash as the format says") {
  CHECK(Version::empty().root_hash() == naive_root({}));
  Model model{{Key(view("a")), to_bytes("1")}};
  Version v = applied(Version::empty(), updates_of(model));
  CHECK(v.root_hash() == naive_root(model));
  CHECK(v.leaf_count() == 1);
  model[Key(view("b"))] = {};
  v = applied(v, updates_of(model));
  CHECK(v.root_hash() == naive_root(model));

  Hash cluster{};
  cluster.fill(7);
  Bytes preimage{0x03};
  add(preimage, cluster);
  add_le(preimage, 5, 4);
  add_le(preimage, 2, 8);
  add(preimage, v.root_hash());
  CHECK(v.state_root(cluster, 5) == sha(preimage));
}

TEST_CASE("T7.1 random batches: root and content equal a rebuild from scratch") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(1 + rng() % 400);
    Model model;
    Version version = Version::empty();
    for (int batch = 0; batch < 20; ++batch) {
      const auto updates = random_batch(rng, model, keys, rng() % 60, batch % 5 == 4 ? 90 : 30);
      version = applied(version, updates);
      REQUIRE(version.leaf_count() == model.size());
      REQUIRE(version.root_hash() == naive_root(model));
      REQUIRE(version.root_hash() == applied(Version::empty(), updates_of(model)).root_hash());
    }
    CHECK(same_content(version, model));
    Bytes ignored;
    for (int i = 0; i < 100; ++i) {
      const Key key = keys(rng);
      CHECK((version.get(key, ignored) == Found::value) == model.contains(key));
      const Key prefix(key.view().first(rng() % (key.size() + 1)));
      CHECK(version.count(prefix) == model_count(model, prefix));
    }
  }
}

TEST_CASE("T7.2 the root does not depend on the order of insertions and deletions") {
  Rng rng(2);
  const KeySource keys(100);
  Model kept;
  Model gone;
  while (kept.size() < 60) kept[keys(rng)] = random_value(rng);
  while (gone.size() < 40)
    if (const Key key = keys(rng); !kept.contains(key)) gone[key] = random_value(rng);
  const Hash expected = naive_root(kept);
  for (int round = 0; round < 30; ++round) {
    std::vector<Update> steps = updates_of(kept);
    for (const auto& [key, value] : gone) steps.push_back({key, value});
    std::ranges::shuffle(steps, rng);
    Version v = Version::empty();
    for (const Update& step : steps) v = applied(v, {step});
    std::vector<Key> order;
    for (const auto& [key, value] : gone) order.push_back(key);
    std::ranges::shuffle(order, rng);
    for (const Key& key : order) v = applied(v, {{key, std::nullopt}});
    CHECK(v.root_hash() == expected);
  }
}

TEST_CASE("updates that change nothing give the same nodes, and old versions stay as they were") {
  Rng rng(3);
  const KeySource keys(200);
  Model model;
  Version v = applied(Version::empty(), random_batch(rng, model, keys, 300, 0));
  const Model old_model = model;
  std::vector<Update> same = updates_of(model);
  for (int i = 0; i < 50; ++i) {
    const Key key = keys(rng);
    const auto at = std::ranges::lower_bound(same, key, {}, &Update::key);
    if (at == same.end() || at->key != key) same.insert(at, {key, std::nullopt});
  }
  const Version again = applied(v, same);
  CHECK(again.root_hash() == v.root_hash());
  CHECK(again.root().node().get() == v.root().node().get());

  const Version changed = applied(v, random_batch(rng, model, keys, 300, 50));
  CHECK(same_content(v, old_model));
  CHECK(same_content(changed, model));
  Version emptied = changed;
  std::vector<Update> all;
  for (const auto& [key, value] : model) all.push_back({key, std::nullopt});
  emptied = applied(changed, all);
  CHECK(emptied.leaf_count() == 0);
  CHECK(emptied.root_hash() == naive_root({}));
}

TEST_CASE("ranges visit exactly the leaves between their ends, and stop when told") {
  Rng rng(4);
  const KeySource keys(60);
  Model model;
  const Version v = applied(Version::empty(), random_batch(rng, model, keys, 400, 0));
  for (int i = 0; i < 300; ++i) {
    Key from = keys(rng);
    Key to = keys(rng);
    if (rng() % 2 == 0) from = Key(from.view().first(rng() % (from.size() + 1)));
    if (rng() % 2 == 0) to = Key(to.view().first(rng() % (to.size() + 1)));
    std::optional<Key> end = to;
    if (rng() % 8 == 0) end.reset();
    const std::size_t limit = rng() % 3 == 0 ? 1 + rng() % 10 : 100000;
    std::vector<Key> expected;
    for (auto it = model.lower_bound(from);
         it != model.end() && (!end || it->first < *end) && expected.size() < limit; ++it)
      expected.push_back(it->first);
    std::vector<Key> seen;
    CHECK(v.scan(from, end, [&](const Key& key, ByteView) {
      seen.push_back(key);
      return seen.size() < limit;
    }));
    CHECK(seen == expected);
  }
}

TEST_CASE("subtrees are ordered against keys by their first bits") {
  Rng rng(5);
  for (int i = 0; i < 2000; ++i) {
    std::uint8_t raw[6];
    for (auto& b : raw) b = static_cast<std::uint8_t>(rng() % 3 * 127);
    const ByteView prefix(raw, 3);
    const Key key(ByteView(raw + 3, rng() % 4));
    const std::size_t bits = rng() % 25;
    Key smallest = truncate(prefix, bits);
    Key largest = smallest;
    for (std::size_t bit = bits; bit < 40; ++bit) largest = extend(largest, bit, true);
    const int order = compare_subtree(smallest, bits, key);
    if (order < 0) CHECK(largest < key);
    if (order > 0) CHECK(smallest >= key);
    // A key inside the subtree, or the key's own bits in front of the subtree: undecided.
    if (order == 0) CHECK(common_bits(smallest, key) >= bits);
  }
}

}  // namespace
}  // namespace bftmeta::tree::test
