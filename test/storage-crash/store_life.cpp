#include "storage-crash/store_life.hpp"

#include <dlfcn.h>
#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "storage/lmdb_check.hpp"

namespace bftmeta::test {

unsigned added_lmdb_flags = 0;

namespace {

ByteView node_record(const Bytes& value) {
  return ByteView(value).first(std::min(value.size(), tree::kMaxNodeRecord));
}

tree::NodeId node_of(const Key& key) { return {static_cast<std::uint16_t>(8 * key.size()), key}; }

Status write_changes(tree::GenerationWriter& writer,
                     const std::map<Key, std::optional<Bytes>>& changes) {
  for (const auto& [key, value] : changes) {
    if (value) continue;
    BFTMETA_TRY(writer.erase_leaf(key));
    BFTMETA_TRY(writer.erase_node(node_of(key)));
  }
  for (const auto& [key, value] : changes) {
    if (!value) continue;
    BFTMETA_TRY(writer.put_leaf(key, *value));
    BFTMETA_TRY(writer.put_node(node_of(key), node_record(*value)));
  }
  return {};
}

// Values of all the ways in which LMDB keeps them: many on a page, one, on pages of their own.
std::map<Key, std::optional<Bytes>> random_changes(std::mt19937_64& random) {
  std::map<Key, std::optional<Bytes>> changes;
  for (int i = 0; i < 25; ++i) {
    const Key key = leaf_key(random() % 200);
    const std::size_t most = random() % 8 == 0 ? 12000 : 600;
    if (random() % 4 == 0)
      changes[key] = std::nullopt;
    else
      changes[key] = Bytes(1 + random() % most, static_cast<std::uint8_t>(random()));
  }
  return changes;
}

}  // namespace

Key leaf_key(std::uint64_t n) { return Key().append_u8(0x10).append_be64(n); }

std::string store_file(const std::string& directory) { return directory + "/data.mdb"; }

Status write_generation(storage::LmdbPageStore& store, StoreState& state,
                        const std::map<Key, std::optional<Bytes>>& changes, const Bytes& meta) {
  BFTMETA_ASSIGN(auto writer, store.begin());
  BFTMETA_TRY(write_changes(*writer, changes));
  ++state.generation;
  state.root_record = to_bytes(view("root " + std::to_string(state.generation)));
  state.meta = meta;
  for (const auto& [key, value] : changes) {
    if (value)
      state.leaves[key] = *value;
    else
      state.leaves.erase(key);
  }
  BFTMETA_TRY(writer->commit(state.root_record, state.meta));
  return {};
}

Result<StoreState> read_state(const storage::LmdbPageStore& store) {
  BFTMETA_ASSIGN(const auto snapshot, store.snapshot());
  StoreState state;
  state.generation = snapshot->generation();
  state.root_record = snapshot->root_record();
  state.meta = snapshot->meta();
  BFTMETA_TRY(snapshot->scan_leaves(Key(), std::nullopt, [&](const Key& key, ByteView value) {
    state.leaves[key] = to_bytes(value);
    return true;
  }));
  for (std::uint64_t n = 0; n < 200; ++n) {
    const auto leaf = state.leaves.find(leaf_key(n));
    BFTMETA_ASSIGN(const auto node, snapshot->node(node_of(leaf_key(n))));
    const bool equal = leaf == state.leaves.end()
                           ? !node
                           : node && std::ranges::equal(*node, node_record(leaf->second));
    if (!equal) return fail(Errc::corrupt, "a node record is not that of its leaf");
  }
  return state;
}

std::string difference(const Result<StoreState>& found, const StoreState& expected) {
  if (!found) return found.error().message;
  if (found->generation != expected.generation)
    return "generation " + std::to_string(found->generation) + " instead of " +
           std::to_string(expected.generation);
  if (found->leaves != expected.leaves) return "other leaves";
  if (found->root_record != expected.root_record || found->meta != expected.meta)
    return "another root record";
  return "";
}

std::uint64_t StoreLife::oldest_allowed(std::size_t count) const {
  std::uint64_t oldest = 0;
  for (std::uint64_t g = 1; g < synced.size(); ++g) {
    if (committed[g] <= count) oldest = g - 1;
    if (synced[g] <= count) oldest = g;
  }
  return oldest;
}

std::uint64_t StoreLife::newest_allowed(std::size_t count) const {
  std::uint64_t newest = 0;
  for (std::uint64_t g = 0; g < begun.size(); ++g)
    if (begun[g] < count) newest = g;
  return newest;
}

StoreLife record_life(std::uint64_t seed, std::uint64_t generations) {
  const TempDir temp;
  std::mt19937_64 random(seed);
  auto store = storage::LmdbPageStore::open(temp / "state", kStoreOptions);
  REQUIRE_MESSAGE(store.has_value(), store.error().message);
  const FileRecording recording(store_file(temp / "state"));
  StoreLife life;
  for (std::uint64_t g = 1; g <= generations; ++g) {
    StoreState state = life.states.back();
    life.begun.push_back(recording.events().size());
    const Status written =
        write_generation(**store, state, random_changes(random), to_bytes(view("m")));
    REQUIRE_MESSAGE(written.has_value(), written.error().message);
    life.committed.push_back(recording.events().size());
    life.states.push_back(std::move(state));
    life.synced.push_back(SIZE_MAX);
    if (random() % 2 == 0) continue;
    REQUIRE((*store)->sync().has_value());
    life.synced.back() = recording.events().size();
  }
  life.file = recording.history();
  const Bytes replayed = crash_image(life.file, life.file.events.size(), Survival::all, random);
  REQUIRE(equal(view(read_text(store_file(temp / "state"))), replayed));
  return life;
}

namespace {

// One of the allowed states, which takes one more generation.
std::string judge_store(const StoreLife& life, std::size_t count, const std::string& directory) {
  const Status sound = storage::check_lmdb_file(storage::posix_file_system(), directory);
  if (!sound) return sound.error().message;
  auto store = storage::LmdbPageStore::open(directory, kStoreOptions);
  if (!store) return store.error().message;
  const auto found = read_state(**store);
  if (!found) return found.error().message;
  const std::uint64_t generation = found->generation;
  if (generation < life.oldest_allowed(count) || generation > life.newest_allowed(count))
    return "generation " + std::to_string(generation) + ", not one of " +
           std::to_string(life.oldest_allowed(count)) + " to " +
           std::to_string(life.newest_allowed(count));
  StoreState state = life.states.at(generation);
  if (std::string wrong = difference(found, state); !wrong.empty()) return wrong;
  std::mt19937_64 random(count);
  if (const Status next = write_generation(**store, state, random_changes(random), {}); !next)
    return "it cannot be written: " + next.error().message;
  if (const Status synced = (*store)->sync(); !synced) return synced.error().message;
  store->reset();
  store = storage::LmdbPageStore::open(directory, kStoreOptions);
  if (!store) return "after one more generation: " + store.error().message;
  const std::string wrong = difference(read_state(**store), state);
  return wrong.empty() ? wrong : "after one more generation: " + wrong;
}

}  // namespace

std::string judge_image(const StoreLife& life, std::size_t count, const Bytes& image,
                        const std::string& directory) {
  const TempDir temp;
  std::filesystem::create_directory(temp / directory);
  write_text(store_file(temp / directory), std::string(image.begin(), image.end()));
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string verdict = judge_store(life, count, temp / "state");
    ::_exit(::write(ends[1], verdict.data(), verdict.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string verdict(4096, '\0');
  const ssize_t size = ::read(ends[0], verdict.data(), verdict.size());
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  verdict.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (status != 0) return "the process that opened it ended: status " + std::to_string(status);
  return verdict;
}

}  // namespace bftmeta::test

// Stands before liblmdb's own, for the mutations.
extern "C" int mdb_env_open(MDB_env* env, const char* path, unsigned flags, mdb_mode_t mode) {
  using Open = int (*)(MDB_env*, const char*, unsigned, mdb_mode_t);
  const auto real = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "mdb_env_open"));
  return real(env, path, flags | bftmeta::test::added_lmdb_flags, mode);
}
