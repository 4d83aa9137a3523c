#include "storage/lmdb_store.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "storage/lmdb_check.hpp"
#include "support/temp_dir.hpp"
#include "tree/flush.hpp"
#include "tree/hashing.hpp"
#include "tree/memory_page_store.hpp"
#include "unit/tree/model.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using bftmeta::test::TempDir;

namespace {

constexpr LmdbOptions kSmall{.map_bytes = 256ULL << 20};

std::unique_ptr<LmdbPageStore> open_store(const std::string& directory) {
  auto store = LmdbPageStore::open(directory, kSmall);
  REQUIRE(store);
  return std::move(*store);
}

std::shared_ptr<const tree::Snapshot> newest(const tree::PageStore& store) {
  auto snapshot = store.snapshot();
  REQUIRE(snapshot);
  return *snapshot;
}

Key key_of(std::uint64_t n) { return Key().append_u8(0x10).append_be64(n); }

using Leaves = std::vector<std::pair<Key, Bytes>>;

Leaves leaves_of(const tree::Snapshot& snapshot, const Key& from = Key(),
                 const std::optional<Key>& to = std::nullopt) {
  Leaves out;
  REQUIRE(snapshot.scan_leaves(from, to, [&](const Key& key, ByteView value) {
    out.emplace_back(key, to_bytes(value));
    return true;
  }));
  return out;
}

struct Change {
  Key leaf;
  tree::NodeId node;
  bool erase = false;
  Bytes value;
};

void write_generation(tree::PageStore& store, const std::vector<Change>& changes,
                      const std::string& root) {
  auto writer = store.begin();
  REQUIRE(writer);
  for (const bool erase : {true, false}) {
    for (const Change& c : changes) {
      if (c.erase != erase) continue;
      REQUIRE((erase ? (*writer)->erase_leaf(c.leaf) : (*writer)->put_leaf(c.leaf, c.value)));
      const ByteView record = ByteView(c.value).first(std::min<std::size_t>(c.value.size(), 100));
      REQUIRE((erase ? (*writer)->erase_node(c.node) : (*writer)->put_node(c.node, record)));
    }
  }
  const auto snapshot = (*writer)->commit(to_bytes(root), to_bytes("meta of " + root));
  REQUIRE(snapshot);
  CHECK((*snapshot)->root_record() == to_bytes(root));
}

void check_equal(const tree::Snapshot& a, const tree::Snapshot& b) {
  CHECK(a.generation() == b.generation());
  CHECK(a.root_record() == b.root_record());
  CHECK(a.meta() == b.meta());
  const Leaves all = leaves_of(a);
  CHECK(all == leaves_of(b));
  CHECK(leaves_of(a, key_of(20), key_of(300)) == leaves_of(b, key_of(20), key_of(300)));
  for (std::uint64_t n = 0; n < 500; n += 7) {
    CHECK(*a.leaf(key_of(n)) == *b.leaf(key_of(n)));
    const tree::NodeId id{static_cast<std::uint16_t>(72 - n % 8), key_of(n & ~7ULL)};
    CHECK(*a.node(id) == *b.node(id));
  }
}

}  // namespace

TEST_CASE("LMDB and memory hold the same, in the newest generation and in older ones") {
  const TempDir temp;
  auto lmdb = open_store(temp / "state");
  tree::MemoryPageStore memory;
  std::mt19937_64 random(1);
  std::vector<
      std::pair<std::shared_ptr<const tree::Snapshot>, std::shared_ptr<const tree::Snapshot>>>
      snapshots{{newest(*lmdb), newest(memory)}};
  for (int generation = 1; generation <= 12; ++generation) {
    std::map<std::uint64_t, Change> changes;
    for (int i = 0; i < 150; ++i) {
      const std::uint64_t n = random() % 500;
      changes[n] = {key_of(n),
                    {static_cast<std::uint16_t>(72 - n % 8), key_of(n & ~7ULL)},
                    random() % 4 == 0,
                    Bytes(random() % 9000, static_cast<std::uint8_t>(random()))};
    }
    std::vector<Change> list;
    std::set<tree::NodeId> seen;  // every record is put at most once
    for (auto& [n, change] : changes)
      if (seen.insert(change.node).second) list.push_back(std::move(change));
    write_generation(*lmdb, list, "root " + std::to_string(generation));
    write_generation(memory, list, "root " + std::to_string(generation));
    snapshots.emplace_back(newest(*lmdb), newest(memory));
    CHECK(check_lmdb_file(posix_file_system(), temp / "state"));
  }
  for (const auto& [a, b] : snapshots) check_equal(*a, *b);
  snapshots.clear();
  REQUIRE(lmdb->sync());
  lmdb.reset();
  lmdb = open_store(temp / "state");
  check_equal(*newest(*lmdb), *newest(memory));
  CHECK(lmdb->used_bytes() < lmdb->map_bytes());
}

TEST_CASE("a tree flushed to LMDB is the same tree after opening it again") {
  namespace tt = tree::test;
  const TempDir temp;
  auto store = open_store(temp / "state");
  tt::Rng rng(7);
  const tt::KeySource keys(1500);
  tt::Model model;
  tree::Version head = tree::Version::empty({.pinned_nodes = 8});
  for (int round = 0; round < 6; ++round) {
    auto next = head.apply(tt::random_batch(rng, model, keys, 300, 20));
    REQUIRE(next);
    head = *next;
    tree::WriteSet set = tree::begin_flush(head);
    auto writer = store->begin();
    REQUIRE(writer);
    for (bool done = false; !done;) {
      const auto some = set.write_some(**writer, 50);
      REQUIRE(some);
      done = *some;
    }
    auto snapshot = (*writer)->commit(set.root_record(), to_bytes("m"));
    REQUIRE(snapshot);
    head = tree::rebase(head, set, *snapshot);
    CHECK(tt::same_content(head, model));
  }
  const Hash root = head.root_hash();
  CHECK(root == tt::naive_root(model));
  head = tree::Version::empty();
  store.reset();
  store = open_store(temp / "state");
  const auto opened = tree::Version::open(newest(*store), {.pinned_nodes = 8});
  REQUIRE(opened);
  CHECK(opened->root_hash() == root);
  CHECK(tt::same_content(*opened, model));
}

TEST_CASE("a generation that is not committed leaves nothing behind") {
  const TempDir temp;
  auto store = open_store(temp / "state");
  write_generation(*store, {{key_of(1), {8, key_of(1)}, false, to_bytes("one")}}, "root 1");
  {
    auto writer = store->begin();
    REQUIRE(writer);
    REQUIRE((*writer)->erase_leaf(key_of(1)));
    REQUIRE((*writer)->put_leaf(key_of(2), to_bytes("two")));
  }
  CHECK(newest(*store)->generation() == 1);
  CHECK(leaves_of(*newest(*store)) == Leaves{{key_of(1), to_bytes("one")}});
}

TEST_CASE("readers on other threads see their generation while the next one is written") {
  const TempDir temp;
  auto store = open_store(temp / "state");
  const auto generation = [&](std::uint8_t stamp) {
    std::vector<Change> changes;
    for (std::uint64_t n = 0; n < 300; ++n)
      changes.push_back({key_of(n), {72, key_of(n)}, false, Bytes(500, stamp)});
    write_generation(*store, changes, "r");
  };
  generation(1);
  const auto old = newest(*store);
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> passes = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i)
    readers.emplace_back([&] {
      while (!stop) {
        for (std::uint64_t n = 0; n < 300; ++n)
          if (*old->leaf(key_of(n)) != Bytes(500, 1)) ++wrong;
        ++passes;
      }
    });
  for (std::uint8_t stamp = 2; stamp < 12; ++stamp) generation(stamp);
  while (passes < 3) std::this_thread::yield();
  stop = true;
  for (std::thread& t : readers) t.join();
  CHECK(wrong == 0);
  CHECK(*newest(*store)->leaf(key_of(5)) == Bytes(500, 11));
}

namespace {

constexpr std::uint64_t kLeaves = 4000;

// Writes generation after generation, and one byte to the pipe in the middle of each.
[[noreturn]] void write_for_ever(const std::string& directory, int pipe) {
  auto store = LmdbPageStore::open(directory, kSmall);
  if (!store) ::_exit(1);
  for (;;) {
    auto writer = (*store)->begin();
    if (!writer) ::_exit(2);
    const std::uint64_t generation = (*(*store)->snapshot())->generation() + 1;
    Bytes value(300);
    store_be64(value.data(), generation);
    for (std::uint64_t n = 0; n < kLeaves; ++n) {
      if (!(*writer)->put_leaf(key_of(n), value)) ::_exit(3);
      if (n == kLeaves / 2 && ::write(pipe, "h", 1) != 1) ::_exit(4);
    }
    if (!(*writer)->commit(value, {})) ::_exit(5);
  }
}

}  // namespace

TEST_CASE("kill -9 in the middle of a flush leaves a whole generation") {
  const TempDir temp;
  const std::string directory = temp / "state";
  std::uint64_t before = 0;
  for (int kill_at = 2; kill_at <= 6; ++kill_at) {
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(pipe[0]);
      write_for_ever(directory, pipe[1]);
    }
    ::close(pipe[1]);
    char report = 0;
    for (int i = 0; i < kill_at; ++i) REQUIRE(::read(pipe[0], &report, 1) == 1);
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    ::close(pipe[0]);

    const auto store = open_store(directory);
    const auto snapshot = newest(*store);
    // Half way through the n-th generation of the child, n - 1 of them are committed.
    CHECK(snapshot->generation() >= before + static_cast<std::uint64_t>(kill_at) - 1);
    before = snapshot->generation();
    const Leaves leaves = leaves_of(*snapshot);
    REQUIRE(leaves.size() == kLeaves);
    for (const auto& [key, value] : leaves) REQUIRE(load_be64(value.data()) == before);
    CHECK(load_be64(snapshot->root_record().data()) == before);
  }
}

TEST_CASE("what cannot be stored is an error of one line, and the store stays as it was") {
  const TempDir temp;
  auto opened = LmdbPageStore::open(temp / "state", {.map_bytes = 1 << 20});
  REQUIRE(opened);
  LmdbPageStore& store = **opened;
  write_generation(store, {{key_of(1), {8, key_of(1)}, false, to_bytes("one")}}, "root 1");
  {
    auto writer = store.begin();
    REQUIRE(writer);
    CHECK((*writer)->put_leaf(Key(), to_bytes("x")).error().code == Errc::limit);
    CHECK((*writer)->put_leaf(key_of(2), Bytes(kMaxStoredValue + 1)).error().code == Errc::limit);
    CHECK((*writer)->put_node({8, key_of(1)}, Bytes(tree::kMaxNodeRecord + 1)).error().code ==
          Errc::limit);
    Status status;
    for (std::uint64_t n = 10; status && n < 10000; ++n)
      status = (*writer)->put_leaf(key_of(n), Bytes(1000));
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::disk_full);
    CHECK(status.error().message.find('\n') == std::string::npos);
    CHECK(status.error().message.find(temp / "state") != std::string::npos);
    CHECK_FALSE((*writer)->commit(to_bytes("root 2"), {}));
  }
  CHECK(newest(store)->root_record() == to_bytes("root 1"));
}

TEST_CASE("a file that is not a store is refused in one line") {
  const TempDir temp;
  const std::string directory = temp / "state";
  open_store(directory).reset();
  bftmeta::test::write_text(directory + "/data.mdb", std::string(16384, 'x'));
  const auto opened = LmdbPageStore::open(directory, kSmall);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::corrupt);
  CHECK(opened.error().message.find('\n') == std::string::npos);

  bftmeta::test::write_text(temp / "file", "x");
  CHECK_FALSE(LmdbPageStore::open(temp / "file", kSmall));
}

TEST_CASE("a region is erased whole: its leaves, the nodes in it, and nothing beside") {
  for (const std::size_t bits : {0U, 5U, 8U, 64U, 66U, 70U, 72U}) {
    CAPTURE(bits);
    const TempDir temp;
    const auto lmdb = open_store(temp / "state");
    tree::MemoryPageStore memory;
    std::vector<Change> changes;
    for (std::uint64_t n = 0; n < 500; ++n)
      changes.push_back({key_of(n),
                         {static_cast<std::uint16_t>(72 - n % 8), key_of(n & ~7ULL)},
                         false,
                         Bytes(1 + n % 90, static_cast<std::uint8_t>(n))});
    tree::Region region;
    region.prefix = tree::truncate(key_of(0x88), bits);
    region.bits = bits;
    for (tree::PageStore* store :
         {static_cast<tree::PageStore*>(lmdb.get()), static_cast<tree::PageStore*>(&memory)}) {
      write_generation(*store, changes, "first");
      auto writer = store->begin();
      REQUIRE(writer);
      REQUIRE((*writer)->erase_region(region));
      REQUIRE((*writer)->put_leaf(key_of(0x88), Bytes{7}));  // what comes behind stays
      REQUIRE((*writer)->commit(to_bytes("second"), to_bytes("meta")));
    }
    check_equal(*newest(*lmdb), *newest(memory));
    const auto snapshot = newest(*lmdb);
    for (const Change& c : changes) {
      const bool inside = region.covers(c.leaf, 8 * c.leaf.size());
      CHECK((*snapshot->leaf(c.leaf)).has_value() == (!inside || c.leaf == key_of(0x88)));
      CHECK((*snapshot->node(c.node)).has_value() == !region.covers(c.node.prefix, c.node.bitlen));
    }
  }
}
