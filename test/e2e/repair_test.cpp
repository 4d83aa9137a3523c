// T7.7 with real processes: bytes of a replica's state store flip on its disk. It repairs them from
// the others, or sets the store aside and rebuilds it; clients see nothing of that.
#include <doctest/doctest.h>
#include <lmdb.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "config/load.hpp"
#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kDamaged = 3;
constexpr std::size_t kPage = 4096;

enum class PageClass { leaf, branch, freelist, meta };

// The file of a replica's state store, while that replica is down.
class StoreFile {
 public:
  explicit StoreFile(const test::ProcessCluster& cluster)
      : path_(cluster.settings(kDamaged).data_dir + "/state/data.mdb"),
        bytes_(test::read_text(path_)) {}

  // Flips bits of this many bytes behind the page headers in pages of the class.
  std::size_t flip(PageClass what, std::size_t count, std::uint64_t seed) {
    std::vector<std::size_t> pages;
    for (std::size_t page = 0; page < bytes_.size() / kPage; ++page)
      if (class_of(page) == what) pages.push_back(page);
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < count && !pages.empty(); ++i)
      flip_at(pages[random() % pages.size()] * kPage + first_byte(what) +
                  random() % (kPage - first_byte(what)),
              random);
    test::write_text(path_, bytes_);
    return pages.size();
  }

  // Lets the first pointer of all pages of records lead nowhere: LMDB would follow it.
  void misdirect() {
    for (std::size_t page = 2; page < bytes_.size() / kPage; ++page)
      if (class_of(page) == PageClass::leaf) bytes_[page * kPage + 17] ^= 0x10;
    test::write_text(path_, bytes_);
  }

  // Rots the name in the records of these files, and nothing else. The number of places.
  std::size_t rot_names(const std::vector<std::string>& names) {
    std::size_t places = 0;
    for (const std::string& name : names)
      for (std::size_t at = 0; (at = bytes_.find(name, at)) != std::string::npos; ++at) {
        const char behind = bytes_[at + name.size()];
        if (behind >= '0' && behind <= '9') continue;
        bytes_[at] ^= 1;
        ++places;
      }
    test::write_text(path_, bytes_);
    return places;
  }

 private:
  // Records are at the end of a page, pointers to them at its beginning; a meta is 24 bytes behind
  // its header, and short.
  static std::size_t first_byte(PageClass what) { return what == PageClass::leaf ? kPage / 2 : 16; }

  void flip_at(std::size_t at, std::mt19937_64& random) {
    bytes_[at] = static_cast<char>(static_cast<std::uint8_t>(bytes_[at]) ^ (1U << random() % 8));
  }
  std::uint64_t u64(std::size_t at) const {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes_.data() + at, sizeof v);
    return v;
  }
  // By the flags in its header; the table of free pages by the roots that the metas name.
  PageClass class_of(std::size_t page) const {
    constexpr std::size_t kFreeRoot = 80;
    if (page < 2) return PageClass::meta;
    if (u64(kFreeRoot) == page || u64(kPage + kFreeRoot) == page) return PageClass::freelist;
    const auto flags = static_cast<std::uint8_t>(bytes_[page * kPage + 10]);
    return (flags & 1) != 0 ? PageClass::branch : PageClass::leaf;
  }

  const std::string path_;
  std::string bytes_;
};

// Flips a bit in each group but the last of each segment of the log, while the replica runs. The
// number of segments; the first that a log ever had holds one group.
std::size_t rot_log(const test::ProcessCluster& cluster) {
  std::size_t rotten = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(cluster.settings(kDamaged).data_dir + "/log")) {
    if (!entry.path().filename().string().starts_with("log-")) continue;
    const std::string bytes = test::read_text(entry.path());
    std::vector<std::size_t> groups;
    for (std::size_t at = 0; at < bytes.size(); at += kPage)
      if (bytes.compare(at, 7, "bftmlog") == 0) groups.push_back(at);
    if (groups.size() < 2) continue;
    groups.pop_back();
    ++rotten;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (const std::size_t at : groups) {
      file.seekp(static_cast<std::streamoff>(at + 90));
      file.put(static_cast<char>(bytes[at + 90] ^ 1));
    }
    REQUIRE(file.flush().good());
  }
  return rotten;
}

// Leaves no page free in the store below `state` within the smallest map that is allowed.
void fill_map(const std::string& state, const std::string& scratch, std::uint64_t map_bytes) {
  const auto ok = [](int rc) { REQUIRE(rc == MDB_SUCCESS); };
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi filler = 0;
  ok(mdb_env_create(&env));
  ok(mdb_env_set_maxdbs(env, 4));
  ok(mdb_env_set_mapsize(env, 4 * map_bytes));
  ok(mdb_env_open(env, state.c_str(), 0, 0600));
  ok(mdb_txn_begin(env, nullptr, 0, &txn));
  ok(mdb_dbi_open(txn, "filler", MDB_CREATE, &filler));
  std::string mib(1 << 20, 'f');
  for (std::uint64_t i = 0; i <= map_bytes >> 20; ++i) {
    MDB_val key{sizeof i, &i};
    MDB_val value{mib.size(), mib.data()};
    ok(mdb_put(txn, filler, &key, &value, 0));
  }
  ok(mdb_txn_commit(txn));
  std::filesystem::create_directory(scratch);
  ok(mdb_env_copy2(env, scratch.c_str(), MDB_CP_COMPACT));
  mdb_env_close(env);
  std::filesystem::rename(scratch + "/data.mdb", state + "/data.mdb");
}

// A cluster of which one replica's store is damaged again and again.
class Cluster {
 public:
  Cluster()
      : cluster(BFTMETAD, {.flush_interval_ms = 300}), client(start(cluster)), load(*client, "f") {
    REQUIRE(load.wait_acknowledged(1500, 60s));
    load.run_for(1s);
  }

  // Stops the replica, damages its store, starts it; it has to follow, whatever it takes.
  void damage(PageClass what, std::size_t bytes, std::uint64_t seed) {
    REQUIRE(cluster.stop(kDamaged) == 0);
    REQUIRE(StoreFile(cluster).flip(what, bytes, seed) > 0);
    cluster.launch(kDamaged);
    const bool served = load.wait_acknowledged(300, 60s);
    CAPTURE(load.failures().empty() ? "" : load.failures().front());
    CAPTURE(served ? "" : describe());
    CHECK(served);
    CHECK(comes_back());
  }

  // Nothing that was executed waits for a flush there: else the next start executes it again, and
  // may meet what is rotten first.
  bool settles() {
    return eventually([&] {
      const auto s = client->status(kDamaged, 5s);
      return s && s->durable_seq == s->executed_seq && s->executed_seq == s->certified_seq;
    });
  }

  bool comes_back() {
    return eventually([&] { return follows(1s); });
  }

  // It may crash on what is mapped, also later; a supervisor starts it again.
  template <class Condition>
  bool eventually(const Condition& condition) {
    constexpr int kMostStarts = 8;
    const auto deadline = std::chrono::steady_clock::now() + 90s;
    for (int starts = 0; std::chrono::steady_clock::now() < deadline;) {
      if (condition()) return true;
      const auto exit_code = cluster.child(kDamaged).wait_exit(100ms);
      if (!exit_code) continue;
      if (++starts == kMostStarts) break;
      cluster.kill(kDamaged);
      cluster.launch(kDamaged);
    }
    MESSAGE(cluster.errors(kDamaged) << describe());
    return false;
  }

  // A line for each replica, for who has to find out why.
  std::string describe() {
    std::string lines;
    for (std::uint32_t r = 0; r < cluster.n(); ++r) {
      const auto s = client->status(r, 2s);
      if (!s) continue;
      lines += "replica " + std::to_string(r) + ": view " + std::to_string(s->view) +
               (s->active ? "" : " left") + ", executed " + std::to_string(s->executed_seq) +
               ", certified " + std::to_string(s->certified_seq) + ", queued " +
               std::to_string(s->queued) + ", " + s->condition + "\n";
    }
    return lines;
  }

  bool follows(std::chrono::milliseconds timeout = 60s) {
    const auto root = client->root();
    return root && test::catches_up(*client, kDamaged, root->body.seq, timeout);
  }

  // Nothing is lost, and nobody was told anything else; also not by the damaged replica.
  void finish() {
    load.stop();
    CHECK(load.failures().empty());
    CHECK(test::missing(*client, load.acknowledged()).empty());
    CHECK(comes_back());
    const std::string errors = cluster.errors(kDamaged);
    CAPTURE(errors);
    CHECK(errors.find("root differs") == std::string::npos);
    for (std::uint32_t r = 0; r < cluster.n(); ++r)
      CHECK(cluster.errors(r).find("evidence") == std::string::npos);
    // It is needed, and gives the right shares: with another one away there is no quorum without
    // it.
    cluster.kill(0);
    test::CreateLoad more(*client, "g");
    CHECK(eventually([&] { return more.wait_acknowledged(100, 1s); }));
    more.stop();
    CHECK(more.failures().empty());
  }

  bool says(const std::string& text) const {
    return cluster.errors(kDamaged).find(text) != std::string::npos;
  }

  test::ProcessCluster cluster;
  std::unique_ptr<client::Client> client;
  test::CreateLoad load;

 private:
  static std::unique_ptr<client::Client> start(test::ProcessCluster& cluster) {
    cluster.start_all();
    return cluster.open();
  }
};

}  // namespace

TEST_CASE("T7.7 rotten leaves are fetched from the others again, before anybody misses them") {
  Cluster c;
  c.load.stop();
  REQUIRE(c.cluster.stop(kDamaged) == 0);
  std::vector<std::string> names = c.load.acknowledged();
  names.resize(40);
  CHECK(StoreFile(c.cluster).rot_names(names) >= names.size());
  c.cluster.start(kDamaged);
  test::CreateLoad more(*c.client, "h");
  CHECK(more.wait_acknowledged(300, 60s));
  for (int round = 0; round < 5; ++round) CHECK(test::missing(*c.client, names).empty());
  more.stop();
  CHECK(more.failures().empty());
  c.finish();
  CHECK(c.says("is not what its parent commits to"));
  CHECK((c.says("repaired: ") || c.says("fetched the state of sequence number")));
  CHECK_MESSAGE(!c.says("state.damaged"), c.cluster.errors(kDamaged));
}

TEST_CASE("T7.7 a scrub finds what nobody reads, and it is repaired; the next one finds nothing") {
  Cluster c;
  c.load.stop();
  const auto scrub = [&](std::uint64_t cycles) {
    constexpr std::uint64_t kRate = 32 << 20;
    REQUIRE(c.client->status(kDamaged, 5s, kRate).has_value());
    messages::StatusReply s;
    for (int i = 0; i < 300 && s.scrub_cycles < cycles; ++i) {
      std::this_thread::sleep_for(100ms);
      if (const auto reply = c.client->status(kDamaged, 5s)) s = *reply;
    }
    CHECK(s.scrub_cycles >= cycles);
    return s;
  };
  CHECK(scrub(1).damage_found == 0);
  CHECK(c.settles());
  REQUIRE(c.cluster.stop(kDamaged) == 0);
  std::vector<std::string> names = c.load.acknowledged();
  names.resize(30);
  CHECK(StoreFile(c.cluster).rot_names(names) >= names.size());
  c.cluster.start(kDamaged);
  // Counted in subtrees: several names share one.
  const std::uint64_t found = scrub(1).damage_found;
  CHECK(found > 0);
  std::optional<messages::StatusReply> s;
  for (int i = 0; i < 200 && (!s || s->damage_repaired < found); ++i) {
    std::this_thread::sleep_for(100ms);
    if (const auto reply = c.client->status(kDamaged, 5s)) s = *reply;
  }
  REQUIRE(s.has_value());
  CHECK(s->damage_repaired >= found);
  CHECK(s->condition == "ok");
  const messages::StatusReply before = scrub(2);
  const messages::StatusReply after = scrub(before.scrub_cycles + 1);
  CHECK(after.damage_found == before.damage_found);
  const std::string errors = c.cluster.errors(kDamaged);
  CAPTURE(errors);
  // It is on the disk.
  REQUIRE(c.cluster.stop(kDamaged) == 0);
  c.cluster.start(kDamaged);
  CHECK(scrub(1).damage_found == 0);
  CHECK(c.says("repaired: "));
  CHECK_FALSE(c.says("state.damaged"));
  c.finish();
}

TEST_CASE("T7.7 a scrub finds rot in the log in use, and after a kill -9 no vote is missed") {
  Cluster c;
  REQUIRE(c.cluster.stop(kDamaged) == 0);  // the next start leaves a segment behind
  c.cluster.start(kDamaged);
  CHECK(c.load.wait_acknowledged(300, 60s));
  c.load.stop();
  REQUIRE(c.follows());
  CHECK(c.settles());
  const std::size_t damaged = rot_log(c.cluster);
  REQUIRE(damaged > 1);
  std::optional<messages::StatusReply> s;
  REQUIRE(c.client->status(kDamaged, 5s, 64 << 20).has_value());
  for (int i = 0; i < 300 && (!s || s->damage_repaired < damaged); ++i) {
    std::this_thread::sleep_for(100ms);
    if (const auto reply = c.client->status(kDamaged, 5s)) s = *reply;
  }
  const std::string errors = c.cluster.errors(kDamaged);
  CAPTURE(errors);
  REQUIRE(s.has_value());
  CHECK(s->damage_found == damaged);
  CHECK(s->damage_repaired == damaged);
  CHECK(s->condition == "ok");
  c.cluster.kill(kDamaged);
  c.cluster.launch(kDamaged);
  c.finish();
  CHECK(c.says("the log is damaged: log segment "));
  CHECK(c.says("let go of a damaged segment"));
  CHECK_FALSE(c.says("fenced"));
}

TEST_CASE("T7.7 a repair that can not be written: a newer state is fetched, once there is room") {
  Cluster c;
  c.load.stop();
  CHECK(c.settles());
  REQUIRE(c.cluster.stop(kDamaged) == 0);
  const config::ReplicaSettings roomy = c.cluster.settings(kDamaged);
  config::ReplicaSettings full = roomy;
  full.lmdb_map_bytes = 64 << 20;
  fill_map(roomy.data_dir + "/state", c.cluster.dir() / "compacted", full.lmdb_map_bytes);
  std::vector<std::string> names = c.load.acknowledged();
  names.resize(10);
  CHECK(StoreFile(c.cluster).rot_names(names) > 0);
  const auto restart = [&](const config::ReplicaSettings& settings) {
    std::filesystem::remove(c.cluster.replica_toml(kDamaged));
    REQUIRE(config::write_replica(c.cluster.replica_toml(kDamaged), settings).has_value());
    c.cluster.start(kDamaged);
  };
  const auto will_say = [&](const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!c.says(text) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(20ms);
    return c.says(text);
  };
  restart(full);
  constexpr std::uint64_t kRate = 64 << 20;
  REQUIRE(c.client->status(kDamaged, 5s, kRate).has_value());  // begins a scrub
  REQUIRE(will_say("repairing them from peers"));
  REQUIRE(will_say("raise its map size"));
  // Longer than a repair may take: when it goes on, that is given up, and its write was due again.
  c.cluster.child(kDamaged).signal(SIGSTOP);
  std::this_thread::sleep_for(11s);
  c.cluster.child(kDamaged).signal(SIGCONT);
  CHECK(will_say("fetching the state at or behind"));
  CHECK_FALSE(c.cluster.child(kDamaged).wait_exit(2s).has_value());
  CHECK(c.cluster.stop(kDamaged) == 0);
  restart(roomy);
  CHECK(c.follows());
  CHECK_FALSE(c.says("state.damaged"));
  c.finish();
}

TEST_CASE("T7.7 bytes flip anywhere in pages of records: it comes back by itself") {
  Cluster c;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    std::filesystem::remove(c.cluster.settings(kDamaged).data_dir + "/state-set-aside");
    c.damage(PageClass::leaf, 40, seed);
  }
  c.finish();
}

TEST_CASE(
    "T7.7 after a signal the pages are checked: a sound store stays, a bad one is set aside") {
  Cluster c;
  c.load.stop();
  const std::string data_dir = c.cluster.settings(kDamaged).data_dir;
  c.cluster.child(kDamaged).signal(SIGABRT);
  CHECK(c.cluster.child(kDamaged).wait_exit(10s) == 128 + SIGABRT);
  CHECK(test::read_text(data_dir + "/state-suspect") == "");
  CHECK(test::read_text(data_dir + "/state-check") != "");
  c.cluster.kill(kDamaged);
  c.cluster.start(kDamaged);
  CHECK(c.follows());
  CHECK(c.says("were checked and are sound"));
  CHECK(test::read_text(data_dir + "/state-check") == "");
  CHECK_FALSE(std::filesystem::exists(data_dir + "/state.damaged"));

  REQUIRE(c.cluster.stop(kDamaged) == 0);
  StoreFile(c.cluster).misdirect();
  test::write_text(data_dir + "/state-check", "crashed");
  c.cluster.start(kDamaged);
  CHECK(c.follows());
  CHECK(c.says("state.damaged"));
  CHECK(std::filesystem::exists(data_dir + "/state.damaged"));
  c.finish();
}

TEST_CASE("T7.7 a store that LMDB can not read is set aside; twice in a row, and it stays down") {
  Cluster c;
  const std::string data_dir = c.cluster.settings(kDamaged).data_dir;
  c.damage(PageClass::meta, 4000, 1);
  CHECK(c.says("state.damaged"));
  CHECK(std::filesystem::exists(data_dir + "/state.damaged/data.mdb"));

  c.load.run_for(1s);
  REQUIRE(c.cluster.stop(kDamaged) == 0);
  StoreFile(c.cluster).flip(PageClass::meta, 4000, 2);
  test::Child& child = c.cluster.launch(kDamaged);
  const auto exit_code = child.wait_exit(20s);
  REQUIRE(exit_code.has_value());
  CHECK(*exit_code != 0);
  CHECK(c.says("stays down"));
  c.cluster.kill(kDamaged);
  std::filesystem::remove(data_dir + "/state-set-aside");
  c.cluster.start(kDamaged);
  CHECK(c.follows());
  c.finish();
}

TEST_CASE(
    "T7.7 damage anywhere in LMDB's own pages: it comes back by itself, right or not at all") {
  Cluster c;
  const std::string data_dir = c.cluster.settings(kDamaged).data_dir;
  std::uint64_t seed = 0;
  for (const PageClass what : {PageClass::branch, PageClass::freelist}) {
    std::filesystem::remove(data_dir + "/state-set-aside");
    REQUIRE(c.cluster.stop(kDamaged) == 0);
    StoreFile(c.cluster).flip(what, 8, ++seed);
    c.cluster.launch(kDamaged);
    CHECK(c.comes_back());
    CHECK(c.load.wait_acknowledged(200, 60s));
  }
  c.finish();
}
