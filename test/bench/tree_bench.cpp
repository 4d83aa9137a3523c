// What the tree costs on 10^6 leaves that look like a file system: half inode attributes with
// numbers in sequence, half directory entries under random hashes, values of about 130 bytes.
// "memory": everything loaded; "store": flushed to a MemoryPageStore, the default number of nodes
// pinned.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <chrono>
#include <map>
#include <random>

#include "base/assert.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"
#include "tree/recorder.hpp"

namespace {

using namespace bftmeta;
using namespace bftmeta::tree;

constexpr std::uint64_t kInodes = 500'000;
constexpr std::uint64_t kDirectories = 1000;

Key attributes(std::uint64_t ino) { return Key().append_u8(0x10).append_be64(ino).append_u8(0x00); }

// The entry of `ino` in its directory: a hashed name.
Key dirent(std::uint64_t ino) {
  Key key = Key().append_u8(0x10).append_be64(ino % kDirectories).append_u8(0x10);
  std::mt19937_64 name(ino);
  for (int i = 0; i < 4; ++i) key.append_be64(name());
  return key;
}

Bytes value_of(std::uint64_t salt) {
  Bytes value(130);
  std::mt19937_64 rng(salt);
  for (auto& b : value) b = static_cast<std::uint8_t>(rng());
  return value;
}

std::vector<Update> sorted(const std::map<Key, Bytes>& batch) {
  std::vector<Update> updates;
  for (const auto& [key, value] : batch) updates.push_back({key, value});
  return updates;
}

struct World {
  Version memory = Version::empty();
  Version store = Version::empty();
  MemoryPageStore pages;

  World() {
    std::map<Key, Bytes> leaves;
    for (std::uint64_t ino = 0; ino < kInodes; ++ino) {
      leaves[attributes(ino)] = value_of(ino);
      leaves[dirent(ino)] = value_of(~ino);
    }
    memory = *Version::empty().apply(sorted(leaves));
    store = memory;
    WriteSet set = begin_flush(store);
    auto writer = pages.begin();
    BFTMETA_ASSERT(writer && set.write_some(**writer, SIZE_MAX));
    store = rebase(store, set, *(*writer)->commit(set.root_record(), {}));
  }
};

World& world() {
  static World w;
  return w;
}

const Version& version(const benchmark::State& state) {
  return state.range(0) == 0 ? world().memory : world().store;
}

// 800 dirty leaves: overwritten at random, or 400 files created in random directories.
void apply_batch(benchmark::State& state) {
  const Version& base = version(state);
  std::mt19937_64 rng(1);
  std::uint64_t next_ino = kInodes;
  for (auto _ : state) {
    state.PauseTiming();
    std::map<Key, Bytes> batch;
    for (int i = 0; i < 400; ++i) {
      const std::uint64_t ino = state.range(1) == 0 ? rng() % kInodes : next_ino++;
      batch[attributes(ino)] = value_of(rng());
      batch[dirent(ino)] = value_of(rng());
    }
    const std::vector<Update> updates = sorted(batch);
    state.ResumeTiming();
    Result<Version> next = base.apply(updates);
    benchmark::DoNotOptimize(next->root_hash());
  }
}
BENCHMARK(apply_batch)
    ->ArgNames({"store", "creates"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);

void get_leaf(benchmark::State& state) {
  const Version& v = version(state);
  std::mt19937_64 rng(2);
  Bytes value;
  for (auto _ : state) {
    const std::uint64_t ino = rng() % kInodes;
    benchmark::DoNotOptimize(v.get(dirent(ino), value));
  }
}
BENCHMARK(get_leaf)->ArgName("store")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// A stat of a file three levels deep: entries and attributes on the way.
void prove_stat(benchmark::State& state) {
  const Version& v = version(state);
  std::mt19937_64 rng(3);
  Bytes value;
  std::size_t bytes = 0;
  for (auto _ : state) {
    const Recorder recorder(v);
    for (int level = 0; level < 3; ++level) {
      const std::uint64_t ino = rng() % kInodes;
      recorder.get(dirent(ino), value);
      recorder.get(attributes(ino), value);
    }
    const Result<Bytes> proof = prove(recorder);
    bytes += proof->size();
  }
  state.counters["proof_bytes"] =
      static_cast<double>(bytes) / static_cast<double>(state.iterations());
}
BENCHMARK(prove_stat)->ArgName("store")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void verify_stat(benchmark::State& state) {
  std::mt19937_64 rng(4);
  Bytes value;
  const Recorder recorder(world().memory);
  std::vector<Key> keys;
  for (int level = 0; level < 3; ++level) {
    const std::uint64_t ino = rng() % kInodes;
    for (const Key& key : {dirent(ino), attributes(ino)}) {
      recorder.get(key, value);
      keys.push_back(key);
    }
  }
  const Bytes proof = *prove(recorder);
  for (auto _ : state) {
    const Result<PartialTree> partial = PartialTree::parse(proof);
    for (const Key& key : keys) benchmark::DoNotOptimize(partial->get(key, value));
    benchmark::DoNotOptimize(partial->state_root({}, 1));
  }
}
BENCHMARK(verify_stat)->Unit(benchmark::kMicrosecond);

// A page of a listing: all entries of a directory (500).
void prove_listing(benchmark::State& state) {
  const Version& v = version(state);
  std::mt19937_64 rng(5);
  for (auto _ : state) {
    const Recorder recorder(v);
    const Key dir = Key().append_u8(0x10).append_be64(rng() % kDirectories).append_u8(0x10);
    recorder.scan(dir, dir.prefix_end(), [](const Key&, ByteView) { return true; });
    benchmark::DoNotOptimize(prove(recorder)->size());
  }
}
BENCHMARK(prove_listing)->ArgName("store")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

// 10 batches of 400 creates, flushed and rebased: what the head costs between and after flushes.
void flush_and_rebase(benchmark::State& state) {
  Version head = world().store;
  std::uint64_t ino = 10 * kInodes;
  double rebase_us = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (int b = 0; b < 10; ++b) {
      std::map<Key, Bytes> batch;
      for (int i = 0; i < 400; ++i, ++ino) {
        batch[attributes(ino)] = value_of(ino);
        batch[dirent(ino)] = value_of(ino);
      }
      head = *head.apply(sorted(batch));
    }
    WriteSet set = begin_flush(head);
    state.ResumeTiming();
    auto writer = world().pages.begin();
    BFTMETA_ASSERT(set.write_some(**writer, SIZE_MAX));
    auto snapshot = (*writer)->commit(set.root_record(), {});
    const auto start = std::chrono::steady_clock::now();
    head = rebase(head, set, *snapshot);
    rebase_us +=
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  state.counters["rebase_us"] = rebase_us / static_cast<double>(state.iterations());
}
BENCHMARK(flush_and_rebase)->Iterations(20)->Unit(benchmark::kMicrosecond);

// Bytes of a version in memory: the pinned nodes after a flush, and what a batch of 400 creates
// adds until the next one.
void memory_of_version(benchmark::State& state) {
  const auto used = [] { return static_cast<double>(mallinfo2().uordblks); };
  (void)world();
  for (auto _ : state) {
    const double start = used();
    Result<Version> opened = Version::open(*world().pages.snapshot());
    const double pinned = used();
    std::map<Key, Bytes> batch;
    for (std::uint64_t i = 0; i < 400; ++i) {
      batch[attributes(kInodes + i)] = value_of(i);
      batch[dirent(kInodes + i)] = value_of(i);
    }
    std::vector<Update> updates = sorted(batch);
    const double before = used();
    const Result<Version> next = opened->apply(updates);
    state.counters["pinned_bytes"] = pinned - start;
    state.counters["batch_bytes"] = used() - before;
  }
}
BENCHMARK(memory_of_version)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
