// The state store and the log together, as a replica uses them: the log lets go of what the store
// holds durably, and after a power cut both together must give every acknowledged batch.
#include <doctest/doctest.h>

#include "storage-crash/store_life.hpp"
#include "unit/storage/log_fixture.hpp"

using namespace bftmeta;
using storage::Record;
using storage::test::batch;
using storage::test::kBatch;
using storage::test::vote;
using test::StoreState;

namespace {

constexpr std::uint64_t kBatches = 110;
constexpr std::uint64_t kFlushEvery = 11;  // about as many as a segment holds
constexpr std::uint64_t kLeaves = 40;
// Nothing is kept for peers: a segment goes as soon as it may.
constexpr storage::LogOptions kLogOptions{.segment_bytes = 64 << 10, .retain_bytes = 0};

// The log is told of a flush when the store has synced it, or (a mutation) when it is committed.
enum class LetGo : std::uint8_t { when_durable, when_committed };

void execute(StoreState& state, const Record& record) {
  state.leaves[test::leaf_key(record.seq % kLeaves)] = record.payload;
}

class Replica {
 public:
  Replica(std::uint64_t seed, LetGo let_go) : disk(seed), let_go_(let_go) {
    REQUIRE(storage::Log::create(disk, storage::test::kDirectory, storage::test::secret()));
    auto opened = storage::Log::open(disk, storage::test::kDirectory, kLogOptions,
                                     storage::test::secret(), 0);
    REQUIRE(opened.has_value());
    log_ = std::move(opened->log);
    log_->set_state_provider([this] { return std::vector<Record>{vote(appended)}; });
    auto store = storage::LmdbPageStore::open(directory_ / "state", test::kStoreOptions);
    REQUIRE(store.has_value());
    store_ = std::move(*store);
    recording.emplace(test::store_file(directory_ / "state"));
  }

  // Until the power is off.
  Status run() {
    while (appended < kBatches) {
      const Record next = batch(++appended);
      log_->append(vote(appended));
      log_->append(next);
      BFTMETA_TRY(log_->commit());
      acknowledged = appended;
      changes_[test::leaf_key(appended % kLeaves)] = next.payload;
      if (appended % kFlushEvery == 0) BFTMETA_TRY(flush());
    }
    return {};
  }

  sim::SimulatedDisk disk;
  std::optional<test::FileRecording> recording;  // of the store's file
  std::uint64_t appended = 0;
  std::uint64_t acknowledged = 0;
  bool between = false;  // the power went off after the commit of a flush, before the log knew

 private:
  Status flush() {
    Bytes meta(8);
    store_be64(meta.data(), appended);
    BFTMETA_TRY(test::write_generation(*store_, state_, std::exchange(changes_, {}), meta));
    if (let_go_ == LetGo::when_committed) {
      log_->set_flushed(appended);
      return {};
    }
    between = true;
    BFTMETA_TRY(store_->sync());
    between = false;
    log_->set_flushed(appended);
    return {};
  }

  const LetGo let_go_;
  test::TempDir directory_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<storage::LmdbPageStore> store_;
  StoreState state_;
  std::map<Key, std::optional<Bytes>> changes_;
};

// Executes what the log holds above the state of the store. Returns the last number.
Result<std::uint64_t> replay(sim::SimulatedDisk& disk, StoreState& state) {
  std::uint64_t seq = state.generation == 0 ? 0 : load_be64(state.meta.data());
  BFTMETA_ASSIGN(auto opened, storage::Log::open(disk, storage::test::kDirectory, kLogOptions,
                                                 storage::test::secret(), seq));
  for (const Record& record : opened.recovered.records) {
    if (record.kind != kBatch) continue;
    if (record.seq != ++seq)
      return fail(Errc::corrupt, "batch " + std::to_string(seq) + " is nowhere");
    execute(state, record);
  }
  return seq;
}

// One sentence on what is wrong after the power came back; empty if nothing is.
std::string recover(Replica& replica, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const test::FileHistory& file = replica.recording->history();
  const auto survival = test::kSurvivals[random() % std::size(test::kSurvivals)];
  const Bytes image = test::crash_image(file, file.events.size(), survival, random);
  using DiskSurvival = sim::SimulatedDisk::Survival;
  constexpr DiskSurvival kDisk[] = {DiskSurvival::none, DiskSurvival::all, DiskSurvival::some};
  replica.disk.restart(kDisk[random() % std::size(kDisk)]);

  const test::TempDir temp;
  std::filesystem::create_directory(temp / "state");
  test::write_text(test::store_file(temp / "state"), std::string(image.begin(), image.end()));
  const auto store = storage::LmdbPageStore::open(temp / "state", test::kStoreOptions);
  if (!store) return store.error().message;
  auto state = test::read_state(**store);
  if (!state) return state.error().message;
  const auto last = replay(replica.disk, *state);
  if (!last) return last.error().message;
  if (*last < replica.acknowledged || *last > replica.appended)
    return "batch " + std::to_string(*last) + " is the last one, " +
           std::to_string(replica.acknowledged) + " was acknowledged";
  StoreState expected;
  for (std::uint64_t seq = 1; seq <= *last; ++seq) execute(expected, batch(seq));
  return state->leaves == expected.leaves ? "" : "other leaves";
}

struct Cuts {
  std::size_t cuts = 0;
  std::size_t between = 0;
  std::vector<std::string> wrong;
};

// Lives that end at each operation of the log's disk, then at each event of the store's file.
Cuts cut_everywhere(LetGo let_go) {
  Replica whole(1, let_go);
  const std::uint64_t made = whole.disk.operations();
  REQUIRE(whole.run());
  // It is worth something only if segments were recycled on the way.
  REQUIRE(storage::test::oldest_segment(whole.disk) > 2);
  const std::uint64_t operations = whole.disk.operations() - made;
  const std::uint64_t events = whole.recording->events().size();
  Cuts found;
  for (std::uint64_t cut = 0; cut < operations + events; ++cut) {
    Replica replica(cut, let_go);
    if (cut < operations)
      replica.disk.cut_power_at(cut);
    else
      replica.recording->cut_power_after(cut - operations);
    REQUIRE_FALSE(replica.run());
    ++found.cuts;
    if (replica.between) ++found.between;
    if (std::string wrong = recover(replica, cut); !wrong.empty())
      found.wrong.push_back("cut " + std::to_string(cut) + ": " + wrong);
  }
  return found;
}

}  // namespace

TEST_CASE("T3.7 a power cut around a flush: store and log together give every acknowledged batch") {
  const Cuts found = cut_everywhere(LetGo::when_durable);
  MESSAGE(found.cuts << " power cuts, " << found.between
                     << " of them between the commit of a flush and its end");
  CHECK(found.between > 0);
  for (const std::string& wrong : found.wrong) FAIL_CHECK(wrong);
}

TEST_CASE("T3.7 a log that lets go before the flush is durable is found") {
  const Cuts found = cut_everywhere(LetGo::when_committed);
  REQUIRE_FALSE(found.wrong.empty());
  MESSAGE(found.wrong.size() << " of " << found.cuts << " power cuts, first " << found.wrong[0]);
}
