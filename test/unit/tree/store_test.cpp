#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "model.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"

namespace bftmeta::tree::test {
namespace {

std::shared_ptr<const Snapshot> write_all(MemoryPageStore& store, WriteSet& set,
                                          std::size_t slice = 7) {
  auto writer = store.begin();
  REQUIRE(writer);
  while (true) {
    const Result<bool> done = set.write_some(**writer, slice);
    REQUIRE(done);
    if (*done) break;
  }
  auto snapshot = (*writer)->commit(set.root_record(), to_bytes("meta"));
  REQUIRE(snapshot);
  return *snapshot;
}

// Nodes and leaves in memory below `ref`.
std::size_t loaded(const Ref& ref) {
  if (!ref.node()) return 0;
  const Node& node = *ref.node().get();
  if (node.is_leaf()) return 1;
  return 1 + loaded(node.child(false)) + loaded(node.child(true));
}

Version reopened(const MemoryPageStore& store, std::uint64_t pinned = 8) {
  Result<Version> v = Version::open(*store.snapshot(), {.pinned_nodes = pinned});
  REQUIRE(v);
  return *v;
}

TEST_CASE("flush, rebase and reopen give equal trees while newer batches are applied") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(50 + rng() % 2000);
    MemoryPageStore store;
    Model model;
    Version head = Version::empty({.pinned_nodes = 1 + rng() % 64});
    for (int round = 0; round < 8; ++round) {
      const unsigned erase = round % 3 == 2 ? 85 : 20;
      for (int i = 0; i < 3; ++i)
        head = applied(head, random_batch(rng, model, keys, rng() % 200, erase));
      const Model flushed_model = model;
      const Version before = head;
      WriteSet set = begin_flush(head);
      for (int i = 0; i < 2; ++i)
        head = applied(head, random_batch(rng, model, keys, rng() % 80, erase));
      if (rng() % 5 == 0) continue;  // the flush is abandoned: the next one covers it
      const auto snapshot = write_all(store, set);
      CHECK(snapshot->meta() == to_bytes("meta"));
      const Hash root = head.root_hash();
      head = rebase(head, set, snapshot);
      REQUIRE(head.root_hash() == root);
      REQUIRE(head.root_hash() == naive_root(model));
      REQUIRE(same_content(head, model));
      REQUIRE(same_content(before, flushed_model));
      const Version opened = reopened(store);
      REQUIRE(opened.root_hash() == naive_root(flushed_model));
      REQUIRE(same_content(opened, flushed_model));
    }
    // The store holds the leaves, the nodes that the format wants, and nothing else.
    WriteSet set = begin_flush(head);
    head = rebase(head, set, write_all(store, set));
    const std::vector<Key> leaves = store.leaf_keys();
    REQUIRE(leaves.size() == model.size());
    MemoryPageStore fresh;
    Version rebuilt = applied(Version::empty(), updates_of(model));
    WriteSet all = begin_flush(rebuilt);
    write_all(fresh, all);
    CHECK(store.node_ids() == fresh.node_ids());
    for (const NodeId& id : fresh.node_ids())
      CHECK(*(*store.snapshot())->node(id) == *(*fresh.snapshot())->node(id));
  }
}

TEST_CASE("after a flush only pinned nodes are in memory, and they stay few as the tree grows") {
  Rng rng(1);
  const KeySource keys(100000);
  MemoryPageStore store;
  Model model;
  Version head = Version::empty({.pinned_nodes = 100});
  for (int round = 0; round < 12; ++round) {
    head = applied(head, random_batch(rng, model, keys, 2000, 0));
    WriteSet set = begin_flush(head);
    head = rebase(head, set, write_all(store, set, 1000));
    CHECK(loaded(head.root()) < 250);
    CHECK(loaded(head.root()) > 10);
  }
  CHECK(same_content(head, model));
  // Between flushes a batch keeps its path in memory, not its neighbours.
  const std::size_t before = loaded(head.root());
  head = applied(head, random_batch(rng, model, keys, 10, 0));
  CHECK(loaded(head.root()) < before + 10 * 20);
  CHECK(loaded(reopened(store, 100).root()) < 250);
}

TEST_CASE(
    "a rotten record is never believed: the answer is right or unknown, the root never wrong") {
  std::size_t unknown = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(300);
    MemoryPageStore store;
    Model model;
    Version head = Version::empty();
    head = applied(head, random_batch(rng, model, keys, 600, 0));
    WriteSet set = begin_flush(head);
    write_all(store, set);

    const bool lost = rng() % 4 == 0;
    const auto rotten = [&](Bytes record) -> std::optional<Bytes> {
      if (lost) return std::nullopt;
      if (record.empty()) return Bytes{1};
      record[rng() % record.size()] ^= static_cast<std::uint8_t>(1U << rng() % 8);
      return record;
    };
    const std::vector<NodeId> ids = store.node_ids();
    if (rng() % 2 == 0) {
      const NodeId id = ids[rng() % ids.size()];
      store.tamper_node(id, rotten(**(*store.snapshot())->node(id)));
    } else {
      const std::vector<Key> leaves = store.leaf_keys();
      const Key key = leaves[rng() % leaves.size()];
      store.tamper_leaf(key, rotten(**(*store.snapshot())->leaf(key)));
    }

    const Result<Version> opened = Version::open(*store.snapshot(), {.pinned_nodes = 0});
    if (!opened) {
      CHECK(opened.error().code == Errc::corrupt);
      continue;
    }
    bool failed = false;
    Bytes value;
    for (int i = 0; i < 300; ++i) {
      const Key key = keys(rng);
      const auto it = model.find(key);
      const Found found = opened->get(key, value);
      failed = failed || found == Found::unknown;
      if (found == Found::value) {
        REQUIRE(it != model.end());
        CHECK(value == it->second);
      }
      if (found == Found::absent) CHECK(it == model.end());
      const Key prefix(key.view().first(rng() % key.size()));
      if (const auto n = opened->count(prefix)) CHECK(*n == model_count(model, prefix));
    }
    // One of two leaves may be lost without any read noticing; a complete scan notices.
    CHECK_FALSE(same_content(*opened, model));
    const auto fault = opened->take_fault();
    REQUIRE(fault);
    CHECK(fault->code == Errc::corrupt);
    if (failed) ++unknown;
    for (int i = 0; i < 10; ++i) {
      Model changed = model;
      const auto updates = random_batch(rng, changed, keys, 3, 30);
      if (const Result<Version> next = opened->apply(updates))
        CHECK(next->root_hash() == naive_root(changed));
      else
        CHECK(next.error().code == Errc::corrupt);
    }
  }
  CHECK(unknown > 0);
}

TEST_CASE("readers on other threads use versions while batches, a flush and a rebase go on") {
  Rng rng(21);
  const KeySource keys(400);
  MemoryPageStore store;
  Model model;
  Version head = Version::empty({.pinned_nodes = 20});
  std::mutex mutex;
  std::pair<Version, Model> newest{head, model};
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> reads = 0;
  const auto reader = [&] {
    while (!stop) {
      const auto [version, content] = [&] {
        const std::lock_guard lock(mutex);
        return newest;
      }();
      if (!same_content(version, content) || version.take_fault()) ++wrong;
      ++reads;
    }
  };
  std::thread readers[2] = {std::thread(reader), std::thread(reader)};
  for (int round = 0; round < 30 || reads < 30; ++round) {
    std::optional<WriteSet> set = begin_flush(head);
    std::shared_ptr<const Snapshot> snapshot;
    std::thread flusher([&] {
      auto writer = store.begin();
      while (!*set->write_some(**writer, 50)) std::this_thread::yield();
      snapshot = *(*writer)->commit(set->root_record(), {});
    });
    for (int i = 0; i < 4; ++i) {
      head = applied(head, random_batch(rng, model, keys, 40, 40));
      const std::lock_guard lock(mutex);
      newest = {head, model};
    }
    flusher.join();
    head = rebase(head, *set, snapshot);
    const std::lock_guard lock(mutex);
    newest = {head, model};
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("a cached version reads what its version reads, and applies the same batch") {
  Rng rng(22);
  const KeySource keys(600);
  MemoryPageStore store;
  Model model;
  Version head = applied(Version::empty(), random_batch(rng, model, keys, 1500, 0));
  WriteSet set = begin_flush(head);
  write_all(store, set, 1000);
  for (int round = 0; round < 20; ++round) {
    const CachedVersion cached(reopened(store, 4));
    Overlay overlay(cached);
    Model changed = model;
    for (const Update& u : random_batch(rng, changed, keys, 30, 30)) {
      Bytes value;
      CHECK((overlay.get(u.key, value) == Found::value) == model.contains(u.key));
      if (u.value)
        overlay.put(u.key, *u.value);
      else
        overlay.erase(u.key);
    }
    CHECK(same_content(overlay, changed));
    const Result<Version> next = cached.apply(overlay.take_updates());
    REQUIRE(next);
    CHECK(next->root_hash() == naive_root(changed));
    CHECK(same_content(*next, changed));
  }
}

TEST_CASE("a record in the place of another, an old one, and one leaf too many are noticed") {
  Rng rng(9);
  const KeySource keys(500);
  MemoryPageStore store;
  Model model;
  Version head = Version::empty();
  head = applied(head, random_batch(rng, model, keys, 900, 0));
  WriteSet first = begin_flush(head);
  const auto old = write_all(store, first);
  const std::vector<NodeId> ids = store.node_ids();
  head = applied(head, random_batch(rng, model, keys, 400, 20));
  head = rebase(head, first, old);
  WriteSet second = begin_flush(head);
  head = rebase(head, second, write_all(store, second));
  REQUIRE(same_content(reopened(store, 0), model));

  std::size_t stale = 0;
  for (const NodeId& id : ids) {
    const auto now = *(*store.snapshot())->node(id);
    if (!now || **old->node(id) == *now) continue;
    const Bytes before = **old->node(id);
    const Bytes current = *now;
    store.tamper_node(id, before);
    const Result<Version> opened = Version::open(*store.snapshot(), {.pinned_nodes = 0});
    CHECK((!opened || !same_content(*opened, model)));
    store.tamper_node(id, current);
    if (++stale == 20) break;
  }
  CHECK(stale == 20);
  const std::vector<NodeId> now_ids = store.node_ids();
  const Bytes a = **(*store.snapshot())->node(now_ids[3]);
  const Bytes b = **(*store.snapshot())->node(now_ids[7]);
  store.tamper_node(now_ids[3], b);
  CHECK_FALSE(same_content(reopened(store, 0), model));
  store.tamper_node(now_ids[3], a);
  REQUIRE(same_content(reopened(store, 0), model));
  // A leaf that nothing commits to is either noticed or not seen.
  std::size_t noticed = 0;
  for (std::uint64_t ino = 0; ino < 20; ++ino) {
    const Key extra = Key().append_u8(0x10).append_be64(ino).append_u8(0x31).append_be64(3);
    store.tamper_leaf(extra, Bytes{1});
    const Version opened = reopened(store, 0);
    Bytes value;
    CHECK(opened.get(extra, value) != Found::value);
    if (!same_content(opened, model)) {
      CHECK(opened.take_fault());
      ++noticed;
    }
    store.tamper_leaf(extra, std::nullopt);
  }
  CHECK(noticed > 0);
}

}  // namespace
}  // namespace bftmeta::tree::test
