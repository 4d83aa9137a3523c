// A state store that is filled with random generations while everything it does to its file is
// recorded; what each generation held; and whether a file left by a power cut is one of them.
// Thread-safety: one thread.
#pragma once

#include <map>

#include "storage-crash/recorded_file.hpp"
#include "storage/lmdb_store.hpp"
#include "support/temp_dir.hpp"

namespace bftmeta::test {

// Room for every test; a smaller map is faster to make.
inline constexpr storage::LmdbOptions kStoreOptions{.map_bytes = 64ULL << 20};

// What one generation holds. Every leaf has a node record, its value's first bytes.
struct StoreState {
  std::uint64_t generation = 0;
  std::map<Key, Bytes> leaves;
  Bytes root_record;
  Bytes meta;
};

Key leaf_key(std::uint64_t n);

// The file of the store that LmdbPageStore::open makes in this directory.
std::string store_file(const std::string& directory);

// Changes to the newest generation; nullopt erases. `state` becomes the new one.
Status write_generation(storage::LmdbPageStore& store, StoreState& state,
                        const std::map<Key, std::optional<Bytes>>& changes, const Bytes& meta);

// What the newest generation of a store holds, errors included.
Result<StoreState> read_state(const storage::LmdbPageStore& store);

// One sentence on what is wrong with a store; empty if it is `expected`.
std::string difference(const Result<StoreState>& found, const StoreState& expected);

// A store that is there and empty, then generation after generation, about every second of them
// followed by sync().
struct StoreLife {
  FileHistory file;
  std::vector<StoreState> states{{}};  // by generation
  // Events before the generation's commit began, before it returned, and before sync() returned
  // behind it.
  std::vector<std::size_t> begun{0};
  std::vector<std::size_t> committed{0};
  std::vector<std::size_t> synced{0};  // SIZE_MAX: it was not synced by itself
  // Which generations a power cut behind `count` events may leave: none older than one that was
  // synced, or than the one before the newest commit that returned.
  std::uint64_t oldest_allowed(std::size_t count) const;
  std::uint64_t newest_allowed(std::size_t count) const;
};
StoreLife record_life(std::uint64_t seed, std::uint64_t generations);

// Opens the store in temp/state, with what a power cut left in temp/`directory`; in a process of
// its own, because a damaged file may end it. One sentence on what is wrong; empty if it holds a
// state that is allowed, and can be written on.
std::string judge_image(const StoreLife& life, std::size_t count, const Bytes& image,
                        const std::string& directory = "state");

// From now on mdb_env_open() adds these flags, which the store would never give.
extern unsigned added_lmdb_flags;

}  // namespace bftmeta::test
